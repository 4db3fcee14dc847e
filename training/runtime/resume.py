"""Which checkpoint a run continues from: the newest one that is whole.

A run can be killed at any moment, also while it saves. Transformers writes a checkpoint's `trainer_state.json` last, so
a folder without that file was never finished. A file that was cut, or lost with the machine, cannot be loaded. Such a
folder is reported and renamed to `broken-N`, because Transformers keeps the checkpoint with the highest number and
would delete the whole one. Knows nothing about the contents of the checkpoints.
"""

import json
import re
import zipfile
from pathlib import Path

from training.runtime import distributed
from training.runtime.distributed import print_once
from training.runtime.safetensors_file import safetensors_problem

TRAINED_FILE, STATE_FILE = "trained.safetensors", "trainer_state.json"
REQUIRED_FILES = (STATE_FILE, TRAINED_FILE)
OPTIMIZER_FILES = ("optimizer.pt", "scheduler.pt")
SHARDED_PATTERNS = (
    "optimizer_*",
    "global_step*",
    "pytorch_model_fsdp*",
)  # files in which several processes keep the optimizer instead
BROKEN_NAME = "broken"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def checkpoint_problem(folder: Path) -> str | None:
    """Return why a checkpoint is not whole, or None if it is."""
    for name in REQUIRED_FILES:
        if not (folder / name).is_file():
            return f"it has no {name}"
    if not any(any(folder.glob(pattern)) for pattern in SHARDED_PATTERNS):
        for name in OPTIMIZER_FILES:
            if not (folder / name).is_file():
                return f"it has no {name}"
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (problem := _file_problem(file)):
            return f"{file.relative_to(folder)} {problem}"
    return None


def _file_problem(file: Path) -> str | None:
    if file.suffix == ".safetensors":
        return safetensors_problem(file)
    try:
        if file.suffix == ".json":
            found = json.loads(file.read_bytes())
            if file.name == STATE_FILE and not (isinstance(found, dict) and isinstance(found.get("global_step"), int)):
                return "does not say which step it was saved at"
        elif file.suffix in (
            ".pt",
            ".pth",
            ".bin",
        ):  # torch.save writes a ZIP archive, which has a checksum of every part
            with zipfile.ZipFile(file) as archive:
                if bad := archive.testzip():
                    return f"is damaged in {bad}"
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        return f"cannot be loaded: {error}"
    return None


def newest_whole_checkpoint(out: Path) -> Path | None:
    """Return the newest whole checkpoint in the folder, or None. Newer ones that are not whole are reported and
    renamed, by the first process.
    """
    if not out.is_dir():
        return None
    found = {int(m[1]): folder for folder in out.iterdir() if (m := _CHECKPOINT.fullmatch(folder.name))}
    for number in sorted(found, reverse=True):
        folder = found[number]
        problem = checkpoint_problem(folder) if folder.is_dir() else "it is not a folder"
        if problem is None:
            return folder
        print_once(f"{folder} is not whole ({problem}): it is renamed to {BROKEN_NAME}-{number} and not used")
        if distributed.is_main_process() and folder.exists():
            _set_aside(folder, number)
    return None


def _set_aside(folder: Path, number: int) -> None:
    target, again = folder.with_name(f"{BROKEN_NAME}-{number}"), 1
    while target.exists():
        target, again = folder.with_name(f"{BROKEN_NAME}-{number}-{again}"), again + 1
    folder.rename(target)
