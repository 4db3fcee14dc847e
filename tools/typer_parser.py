"""Describes a command of typer as an `argparse` parser with the same options, so that one collector reads both."""

import argparse
from typing import Any

KINDS: dict[str, type] = {"int": int, "float": float}


def equivalent_parser(command: Any, context: Any) -> argparse.ArgumentParser:
    """Return a parser with the arguments, options and subcommands of a typer command.

    The parser is for looking at. It need not parse what the command parses.
    """
    parser = argparse.ArgumentParser(description=command.help, add_help=False)
    for parameter in command.get_params(context):
        kind = KINDS.get(parameter.type.name, str)
        choices = getattr(parameter.type, "choices", None)
        if parameter.param_type_name == "argument":
            nargs = None if parameter.nargs == 1 else "+" if parameter.required else "*"
            parser.add_argument(parameter.name, type=kind, nargs=nargs, help=parameter.help)
        elif parameter.name == "help":
            parser.add_argument(*parameter.opts, action="help", help=parameter.help)
        elif parameter.is_flag and parameter.is_eager:  # prints something and ends
            parser.add_argument(*parameter.opts, action="version", version="", help=parameter.help)
        elif parameter.is_flag and parameter.secondary_opts:
            parser.add_argument(
                *parameter.opts, action=argparse.BooleanOptionalAction, default=parameter.default, help=parameter.help
            )
        elif parameter.is_flag:
            parser.add_argument(*parameter.opts, action="store_true", help=parameter.help)
        else:
            parser.add_argument(
                *parameter.opts,
                type=kind,
                default=parameter.default,
                required=parameter.required,
                choices=None if choices is None else list(choices),
                action="append" if parameter.multiple else "store",
                help=parameter.help,
            )
    if hasattr(command, "list_commands"):
        commands = parser.add_subparsers()
        for name in command.list_commands(context):
            commands.add_parser(name, add_help=False)
    return parser
