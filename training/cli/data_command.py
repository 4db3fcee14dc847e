"""The command `speechsum-train data`: one subcommand for each way to make or check data for the recipes."""

import argparse

from training.data import check_files, people, prepare
from training.llm import transcript_summaries
from training.synth import command
from training.synth.text import written_talks

COMMANDS = {
    "generate": command,
    "synthesize": transcript_summaries,
    "prepare": prepare,
    "people": people,
    "talks": written_talks,
    "check": check_files,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `data` and their options. The first paragraph of a module's docstring is its help."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, module in COMMANDS.items():
        first = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        module.add_arguments(commands.add_parser(name, help=first, description=first))


def run(options: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    if out := getattr(options, "out", None):
        out.parent.mkdir(parents=True, exist_ok=True)
    return COMMANDS[options.what].run(options)
