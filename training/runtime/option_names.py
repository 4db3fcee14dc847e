"""Options of a command line that have a new name and, for one release, still take the old one.

An old name works as before, on the command line and in the file of `--config`, and prints a warning that gives the new
name. The help shows the new name alone. It needs the standard library alone, and knows nothing about what the options
mean.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any


def warn_deprecated_option(old: str, new: str) -> None:
    """Print on stderr that `old` is deprecated and `new` takes its place; of several processes the first prints it."""
    if os.environ.get("RANK", "0") == "0":  # as `distributed.is_main_process`, whose module imports torch
        print(
            f"warning: {old} is deprecated and will be removed in the next release; use {new} instead", file=sys.stderr
        )


class DeprecatedOption(argparse.Action):
    """An old name of an option. It warns, then does what the option does. The help does not show it."""

    def __init__(self, option_strings: Sequence[str], dest: str, successor: argparse.Action, **settings: Any) -> None:
        super().__init__(option_strings, dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **settings)
        self.successor = successor

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        warn_deprecated_option(str(option), self.successor.option_strings[0])
        self.successor.required = False  # argparse looks at it when all arguments are read
        self.successor(parser, namespace, values, option)


def add_option(parser: argparse.ArgumentParser, name: str, *old_names: str, **settings: Any) -> argparse.Action:
    """Add the option `name` to the parser, and each of its old names as a deprecated option.

    `settings` are those of `argparse.ArgumentParser.add_argument`. Returns the action of the option.
    """
    action = parser.add_argument(name, **settings)
    for old in old_names:
        parser.add_argument(
            old,
            dest=action.dest,
            action=DeprecatedOption,
            successor=action,
            nargs=action.nargs,
            const=action.const,
            choices=action.choices,
            metavar=action.metavar,
            type=action.type or str,
        )
    return action
