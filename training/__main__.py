"""`speechsum-train`: the pipeline's one command line. `speechsum-train COMMAND --help` says what each stage takes."""

import argparse
import importlib
import os
import select
import sys
import traceback
from pathlib import Path

from app.core.help_format import show_defaults
from training.cli import config_file, input_paths

COMMANDS = {
    "data": "generate speech with known facts, have summaries written to transcripts, prepare recordings",
    "align": "teach the encoder to say words the language model reads (before sft)",
    "legible": "what can be read off the frames of a model that hears, beside what was said",
    "sft": "supervised fine-tuning, of the model that hears or of its text twin",
    "apart": "how likely student and teacher find the same answers: is there something to distil?",
    "distill": "on-policy distillation: the student hears and writes, a text model reads and corrects",
    "serve": "vLLM's server as the recipes need it, to sample from or to read with",
    "pairs": "sample answers of a checkpoint and pair the better with the worse, by known facts or a judge",
    "dpo": "direct preference optimization on such pairs",
    "ladder": "all of it: speech, every stage, and a table of what came out",
    "curves": "draw the logs of one or several runs",
    "export": "put what was trained into the registry, load-checked in vLLM",
    "evaluate": "score summaries: of a running service in depth, or of several systems in one table",
    "compare": "two systems of such tables, each recording with itself: is the difference more than chance?",
    "lineage": "where a checkpoint of the registry comes from, as a tree",
}

# The module of each command. It offers `add_arguments(parser)` and `run(options)`.
MODULES = {
    "data": "training.cli.data_command",
    "align": "training.align.command",
    "legible": "training.eval.probe",
    "sft": "training.recipes.sft",
    "apart": "training.eval.teacher_gap",
    "distill": "training.recipes.distill",
    "serve": "training.runtime.vllm_server",
    "pairs": "training.recipes.pairs",
    "dpo": "training.recipes.dpo",
    "ladder": "training.recipes.pipeline",
    "curves": "training.eval.training_curves",
    "export": "training.models.export",
    "evaluate": "training.eval.evaluate",
    "compare": "training.eval.compare",
    "lineage": "training.eval.lineage",
}

EXIT_BROKEN_PIPE = 128 + 13  # what a shell gives for a command that SIGPIPE ended
EXIT_FAILED, EXIT_USAGE = 1, 2  # exit statuses: the command failed; its command line cannot be used
OWN_PACKAGES = ("training", "model_repo", "app")  # whose errors are made for a user to read


def command_line() -> int:
    """What the shell runs: `main`, with an error of this project's own as one sentence instead of a traceback."""
    try:
        return main()
    except Exception as error:
        if not _is_user_error(error):
            raise
        print(f"speechsum-train {' '.join(sys.argv[1:2])}: error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _is_user_error(error: Exception) -> bool:
    """Whether this project's own code raised the error on purpose; others are bugs, whose traceback is needed."""
    if type(error).__module__.partition(".")[0] in OWN_PACKAGES:
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(last.filename).is_relative_to(Path(__file__).parents[1]) and "raise " in (last.line or "")
    return ours and isinstance(error, ValueError | RuntimeError | OSError)


def main(argv: list[str] | None = None) -> int:
    """Run one command. Modules are imported when asked for, so that `--help` is quick and a wrong path is said at
    once: what trains takes many seconds to import.
    """
    parser = argparse.ArgumentParser(prog="speechsum-train", description="Train the checkpoints that speechsum serves.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] and arguments[0] in COMMANDS:
        try:
            input_paths.check_paths(arguments[0], arguments[1:])
        except input_paths.MissingInput as error:
            print(f"speechsum-train {arguments[0]}: error: {error}", file=sys.stderr)
            return EXIT_USAGE
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name in arguments[:1]:
            importlib.import_module(MODULES[name]).add_arguments(command)
            try:
                config_file.apply_config_file(command, arguments[1:])
            except config_file.ConfigError as error:
                command.error(str(error))
    show_defaults(parser)
    options = parser.parse_args(arguments)
    try:
        status = int(importlib.import_module(MODULES[options.command]).run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        if _stdout_has_reader():
            raise
        return EXIT_BROKEN_PIPE
    return status


def _stdout_has_reader() -> bool:
    """Whether somebody still reads what is printed; if not (`… | head`), nothing more is."""
    end = select.poll()
    end.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in end.poll(0)):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return False


if __name__ == "__main__":
    sys.exit(command_line())
