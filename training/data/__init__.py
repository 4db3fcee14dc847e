"""Data for the recipes: `speechsum-train data generate | synthesize | prepare | check`.

generate.py     spoken material whose facts are known by construction, and its speech
synthesize.py   from transcripts: a text model asks for summaries, writes them, and checks them
people.py       recordings of people with facts written down by hand, for evaluation
prepare.py      records out of what people have: folders, datasets
check.py        fields, ids, splits and audio of files of records
llm.py          a text model behind an endpoint: concurrent, at a rate, every answer kept
"""

import argparse

from training.data import check, generate, people, prepare, synthesize

COMMANDS = {"generate": generate, "synthesize": synthesize, "prepare": prepare, "people": people, "check": check}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their options."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, module in COMMANDS.items():
        first = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        module.add_arguments(commands.add_parser(name, help=first, description=first))


def run(options: argparse.Namespace) -> int:
    """The `data` command."""
    if out := getattr(options, "out", None):
        out.parent.mkdir(parents=True, exist_ok=True)
    return COMMANDS[options.what].run(options)
