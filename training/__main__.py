"""`speechsum-train`, the command line of the training pipeline. `speechsum-train COMMAND --help` shows the options of a
command.
"""

import argparse
import importlib
import os
import select
import sys
import traceback
from pathlib import Path

from app.core.help_format import show_defaults
from training.cli import config_file, input_paths
from training.runtime.option_names import warn_deprecated_option

COMMANDS = {
    "data": "make and check data: synthetic speech, summaries of transcripts, own recordings",
    "align": "train the audio encoder to give the language model words that it can read (before sft)",
    "probe": "measure which words can be read from the audio frames of a model",
    "sft": "supervised fine-tuning of an audio model, or of its text twin",
    "teacher-gap": "measure how likely student and teacher find the same answers: is distillation worthwhile?",
    "distill": "on-policy distillation: the student hears and writes, and a text model that reads corrects it",
    "serve": "run vLLM's server as the recipes need it, to sample answers or to read with",
    "pairs": "sample answers of a checkpoint, and pair better ones with worse ones by known facts or a judge",
    "dpo": "direct preference optimization on such pairs",
    "ladder": "run the whole pipeline: speech, every stage, and a table of the results",
    "curves": "draw the training curves of one or several runs",
    "export": "put a trained model into the registry, after a check that vLLM loads it",
    "evaluate": "score summaries, of a running service in depth or of several systems in one table",
    "word-errors": "measure the word errors of a recognizer, apart for people and synthetic voices",
    "posterior-mixture": "measure whether a text model gains by reading how sure the recognizer was of each token",
    "compare": "compare two systems of such tables: is the difference more than chance?",
    "lineage": "print where a checkpoint of the registry comes from",
}

# The module of each command, which has the functions `add_arguments(parser)` and `run(options)`.
MODULES = {
    "data": "training.cli.data_command",
    "align": "training.align.command",
    "probe": "training.eval.probe",
    "sft": "training.recipes.sft",
    "teacher-gap": "training.eval.teacher_gap",
    "distill": "training.recipes.distill",
    "serve": "training.runtime.vllm_server",
    "pairs": "training.recipes.pairs",
    "dpo": "training.recipes.dpo",
    "ladder": "training.recipes.pipeline",
    "curves": "training.eval.training_curves",
    "export": "training.models.export",
    "evaluate": "training.eval.evaluate",
    "word-errors": "training.eval.word_errors",
    "posterior-mixture": "training.eval.posterior_mixture",
    "compare": "training.eval.compare",
    "lineage": "training.eval.lineage",
}

# Names of commands in earlier releases.
DEPRECATED_COMMANDS = {"apart": "teacher-gap", "legible": "probe"}

EXIT_BROKEN_PIPE = 128 + 13  # the exit status that a shell gives for a command that SIGPIPE ended
EXIT_FAILED, EXIT_USAGE = 1, 2  # exit statuses: the command failed; its arguments are wrong
OWN_PACKAGES = ("training", "model_repo", "app")  # the messages of their errors are written for users


def command_line() -> int:
    """Run `main`, and print an error that this project raises as one sentence instead of a traceback. Returns the exit
    status. This is the entry point of `speechsum-train`.
    """
    try:
        return main()
    except Exception as error:
        if not _is_user_error(error):
            raise
        print(f"speechsum-train {' '.join(sys.argv[1:2])}: error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _is_user_error(error: Exception) -> bool:
    """Return whether this project's code raised the error on purpose. Any other error is a bug, and needs a
    traceback.
    """
    if type(error).__module__.partition(".")[0] in OWN_PACKAGES:
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(last.filename).is_relative_to(Path(__file__).parents[1]) and "raise " in (last.line or "")
    return ours and isinstance(error, ValueError | RuntimeError | OSError)


def main(argv: list[str] | None = None) -> int:
    """Run one command, and return its exit status.

    The modules of commands take many seconds to import. Only that of the command is imported, and only after the paths
    of the command line have been checked.
    """
    parser = argparse.ArgumentParser(prog="speechsum-train", description="Train the checkpoints that speechsum serves.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if (new := DEPRECATED_COMMANDS.get(" ".join(arguments[:1]))) is not None:
        warn_deprecated_option(f"speechsum-train {arguments[0]}", f"speechsum-train {new}")
        arguments[0] = new
    if arguments[:1] and arguments[0] in COMMANDS:
        try:
            input_paths.check_paths(arguments[0], arguments[1:])
        except input_paths.MissingInput as error:
            print(f"speechsum-train {arguments[0]}: error: {error}", file=sys.stderr)
            return EXIT_USAGE
    for name, text in COMMANDS.items():
        aliases = [old for old, new in DEPRECATED_COMMANDS.items() if new == name]
        command = commands.add_parser(name, help=text, aliases=aliases)
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
    """Return whether somebody still reads the standard output. If not (as in `… | head`), redirect it to /dev/null."""
    end = select.poll()
    end.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in end.poll(0)):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return False


if __name__ == "__main__":
    sys.exit(command_line())
