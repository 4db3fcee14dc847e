"""Formats the help of the command lines, so that every option shows its default. Knows nothing about commands."""

import argparse


class DefaultsHelpFormatter(argparse.HelpFormatter):
    """An `argparse` formatter that adds each option's default to its help, if there is one.

    argparse's own `ArgumentDefaultsHelpFormatter` also prints "(default: None)" and "(default: False)", which tell the
    reader nothing.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        default = action.default
        tells_nothing = default is None or default is False or default in ("", [], argparse.SUPPRESS)
        if not action.option_strings or "%(default)" in text or tells_nothing:
            return text
        shown = ",".join(map(str, default)) if isinstance(default, list | tuple) else "%(default)s"
        return f"{text} (default: {shown})".strip()


def show_defaults(parser: argparse.ArgumentParser) -> None:
    """Make every command of `parser`, and every command below it, print its options with their defaults."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                command.formatter_class = DefaultsHelpFormatter
                show_defaults(command)
