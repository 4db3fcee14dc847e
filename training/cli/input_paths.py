"""The check of the paths of a command line, before anything heavy is imported.

Importing torch takes many seconds, and a library that is given a folder that does not exist looks for it on a hub. So
`speechsum-train` checks every path here first, without heavy imports, and a wrong path ends the command at once with
one sentence. `INPUTS` lists the options of every command that name something to read, and how it is checked;
`FOLDER_OUTPUTS` and `FILE_OUTPUTS` list those that name something to write. A test compares these lists with the
options of the commands.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.cli import config_file
from training.runtime.path_problems import error_text, file_problem, folder_problem
from training.runtime.safetensors_file import safetensors_problem


class MissingInput(ValueError):
    """A path of the command line cannot be used. The message names the option, the path and the reason."""


def checkpoint_problem(path: Path) -> str | None:
    """Return why the path is not the folder of a checkpoint (configuration and weights), or None if it is."""
    return folder_problem(path) or _config_problem(path / "config.json") or _weights_problem(path)


def tokenizer_problem(path: Path) -> str | None:
    """Return why the path is not a folder with a tokenizer, or None if it is. Weights are not needed."""
    if problem := folder_problem(path):
        return problem
    if not any(path.glob("*token*")) and not any(path.glob("tekken*")) and not (path / "config.json").exists():
        return "holds no tokenizer"
    return None


def adapter_problem(path: Path) -> str | None:
    """Return why the path is not a complete safetensors file, or None if it is."""
    return file_problem(path) or safetensors_problem(path)


def result_problem(path: Path) -> str | None:
    """Return why the file of `RESULT#SYSTEM` cannot be read, or None if it can."""
    return file_problem(Path(str(path).partition("#")[0]))


def run_problem(path: Path) -> str | None:
    """Return why the path is not a folder, or None if it is. What a run's folder has to hold is checked when it is
    read.
    """
    return folder_problem(path)


def _config_problem(file: Path) -> str | None:
    if not file.is_file():
        return "holds no config.json, so it is not the folder of a checkpoint"
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        return f"has a config.json that cannot be read: {error_text(error)}"
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return "has a config.json without a model_type"
    return None


def _weights_problem(folder: Path) -> str | None:
    files = sorted(folder.glob("*.safetensors"))
    if not files and not any(folder.glob("*.bin")):
        return "holds no weights (*.safetensors)"
    # Mistral's consolidated file is derived from the others, and `serve` writes it again, so it is not checked.
    needed = [file for file in files if not file.name.startswith("consolidated")]
    for file in needed:
        if problem := adapter_problem(file):
            return f"holds weights that cannot be used: {file.name} {problem}"
    return None


PathCheck = Callable[[Path], str | None]
PathChecks = dict[str, PathCheck]

_RECIPE_INPUTS: PathChecks = {
    "--base": checkpoint_problem,
    "--data": file_problem,
    "--eval-data": file_problem,
    "--held": file_problem,
    "--start": adapter_problem,
}
INPUTS: dict[str, PathChecks] = {
    "data people": {"--packages": folder_problem},
    "data talks": {"--folder": folder_problem},
    "data synthesize": {"--records": file_problem},
    "data prepare": {"--folder": folder_problem},
    "data check": {"--records": file_problem},
    "align": _RECIPE_INPUTS,
    "probe": {"--base": checkpoint_problem, "--data": file_problem, "--classes": file_problem},
    "sft": _RECIPE_INPUTS | {"--answers": file_problem},
    "teacher-gap": {
        "--base": checkpoint_problem,
        "--start": adapter_problem,
        "--teacher": checkpoint_problem,
        "--data": file_problem,
        "--answers": result_problem,
    },
    "distill": _RECIPE_INPUTS | {"--teacher": checkpoint_problem},
    "serve": {"--model": checkpoint_problem},
    "pairs": {
        "--base": checkpoint_problem,
        "--start": adapter_problem,
        "--data": file_problem,
        "--answers": file_problem,
    },
    "dpo": _RECIPE_INPUTS,
    "ladder": {"--configs": folder_problem},
    "curves": {"logs": file_problem},
    "compare": {"systems": result_problem},
    "export": {
        "--base": checkpoint_problem,
        "--adapter": adapter_problem,
        "--run": run_problem,
        "--parts": folder_problem,
        "--data": file_problem,
        "--log": file_problem,
    },
    "evaluate": {"--records": file_problem, "--bert-model": folder_problem},
    "word-errors": {"--records": file_problem, "--whisper": folder_problem},
    "posterior-mixture": {
        "--model": checkpoint_problem,
        "--records": file_problem,
        "--whisper": folder_problem,
    },
    "lineage": {"--root": folder_problem},
}
# Options that name something to write. If the path exists it must be a folder, or for FILE_OUTPUTS a file.
FOLDER_OUTPUTS = ("--out", "--rollout-folder", "--feature-cache", "--features", "--work", "--folder-only", "--scratch")
FILE_OUTPUTS = {
    "pairs",
    "evaluate",
    "word-errors",
    "posterior-mixture",
    "curves",
    "teacher-gap",
    "compare",
    "probe",
    "data synthesize",
    "data talks",
}  # whose --out is a file


def check_paths(command: str, arguments: Sequence[str]) -> None:
    """Check every path of the command line, and those of its `--config` file. Raises MissingInput for the first bad
    one.

    command: the name of the command. arguments: the arguments after it. Arguments that cannot be parsed here are left
    to the command's own parser, which knows all options.
    """
    if command == "data":
        command, arguments = f"data {arguments[0] if arguments else ''}", arguments[1:]
    if {"-h", "--help"} & set(arguments):
        return
    inputs = INPUTS.get(command, {})
    given = _given_paths([*inputs, *FOLDER_OUTPUTS, "--teacher-url", "--system"], arguments)
    for option, look in inputs.items():
        if command == "distill" and option == "--teacher" and given.get("--teacher-url"):
            look = tokenizer_problem  # the server has the weights
        for path in given.get(option, []):
            if problem := look(Path(path)):
                named = f"{option} {path}" if option.startswith("-") else path
                raise MissingInput(f"{named}: {problem}")
    for system in given.get("--system", []):
        _check_system(system)
    for option in FOLDER_OUTPUTS:
        for path in given.get(option, []):
            file = option == "--out" and command in FILE_OUTPUTS
            if problem := _write_problem(Path(path), file):
                raise MissingInput(f"{option} {path}: {problem}")


def _check_system(system: str) -> None:
    """Check the path of a `NAME=KIND:WHERE` of `evaluate`, if this kind has one. Raises MissingInput."""
    kind, _, where = (system.partition("=")[2] or system).partition(":")
    if kind in ("hears", "reads", "silent", "shuffled", "cascade") and where:
        folder = where.rpartition("#")[2] if kind == "cascade" else where
        if problem := checkpoint_problem(Path(folder)):
            raise MissingInput(f"--system {system}: {folder} {problem}")
    if kind == "kept" and where and (problem := file_problem(Path(where.partition("#")[0]))):
        raise MissingInput(f"--system {system}: {where.partition('#')[0]} {problem}")


def _write_problem(path: Path, file: bool) -> str | None:
    """Return why the path cannot be written, or None if it can. file: whether a file is written, or a folder."""
    try:
        if file and path.is_dir():
            return "is a folder, and a file is written there"
        if not file and path.exists() and not path.is_dir():
            return "is a file, and a folder is written there"
        above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        if above != path and not above.is_dir():
            return f"cannot be written: {above} is a file"
        if not os.access(above, os.W_OK):
            return f"cannot be written: permission denied in {above}"
    except (OSError, ValueError) as error:
        return f"cannot be written: {error_text(error)}"
    return None


class _SilentParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(message)


def _given_paths(options: Sequence[str], arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each option, from the command line or else from the file that `--config` names."""
    parser = _SilentParser(add_help=False, allow_abbrev=False)
    for option in [*options, "--config"]:
        if option.startswith("-"):
            parser.add_argument(option, dest=option, action="extend", nargs="*")
    try:
        found, rest = parser.parse_known_args([*arguments])
    except ValueError:
        return {}
    given = {name: values for name, values in vars(found).items() if values}
    for positional in (option for option in options if not option.startswith("-")):
        given[positional] = [one for one in rest if not one.startswith("-")]
    for file in given.get("--config", [])[-1:]:
        try:
            config = config_file.read_config_file(Path(file))
        except config_file.ConfigError:
            continue  # the command's own parser will report it
        for name, value in config.items():
            values = value if isinstance(value, list) else [value]
            given.setdefault(f"--{name.replace('_', '-')}", [one for one in values if isinstance(one, str)])
    return given
