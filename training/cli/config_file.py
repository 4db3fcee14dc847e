"""Options from a YAML file: `--config FILE` gives a command its defaults, and the command line overrides them.

Keys are the names of the options, with `_` or `-`; lists are lists. A key that is no option of the command is an error,
and so is a value that the option would not take. The old name of an option works and prints a warning. Knows nothing
about what the options mean.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from training.runtime.option_names import DeprecatedOption, warn_deprecated_option


class ConfigError(ValueError):
    """The file cannot be used. The message names it and says why."""


def apply_config_file(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Add `--config` to the parser and, if the arguments name a file, make its values the defaults of the options.

    In a command with subcommands (`data`), the option is added to the subcommand that the arguments name. Raises
    ConfigError if the file cannot be used.
    """
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            if arguments and arguments[0] in action.choices:
                apply_config_file(action.choices[arguments[0]], arguments[1:])
            return
    parser.add_argument("--config", type=Path, help="YAML file whose values are this command's defaults")
    finder = argparse.ArgumentParser(add_help=False)
    finder.add_argument("--config", type=Path)
    file = finder.parse_known_args(arguments)[0].config
    if file is None:
        return
    options, old_names = _options_by_key(parser)
    given: dict[argparse.Action, str] = {}
    for key, value in read_config_file(file).items():
        name = key.replace("-", "_")
        option = options.get(name) or old_names.get(name)
        if option is None:
            raise ConfigError(f"{file}: {key!r} is no option of this command; it has {', '.join(sorted(options))}")
        if option in given:
            raise ConfigError(f"{file}: {key!r} and {given[option]!r} are two names of the same option")
        given[option] = key
        if name not in options:
            warn_deprecated_option(f"{file}: {key}", option.dest)
        try:
            option.default = convert_value(option, value)
        except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
            raise ConfigError(f"{file}: {key}: {error}") from error
        option.required = False


def _options_by_key(parser: argparse.ArgumentParser) -> tuple[dict[str, argparse.Action], dict[str, argparse.Action]]:
    """Return the parser's options by their keys in a file, and by the old names that are deprecated as keys."""
    options: dict[str, argparse.Action] = {}
    old_names: dict[str, argparse.Action] = {}
    for action in parser._actions:
        if isinstance(action, DeprecatedOption):
            old_names |= {one.lstrip("-").replace("-", "_"): action.successor for one in action.option_strings}
        elif action.dest not in ("help", "config"):
            options[action.dest] = action
    return options, old_names


def read_config_file(file: Path) -> dict[str, Any]:
    """Return the mapping that the YAML file holds. Raises ConfigError if it cannot be read or holds something else."""
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: is not a mapping of options to values")
    return {str(key): value for key, value in found.items()}


def convert_value(option: argparse.Action, value: Any) -> Any:
    """Return the value as the command line would have given it. Raises ValueError, TypeError or ArgumentTypeError if
    the option does not take it.
    """
    if isinstance(option.default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return value
    many = option.nargs in ("*", "+") or isinstance(option, argparse._AppendAction)
    if many != isinstance(value, list):
        raise ValueError(f"{value!r} should{'' if many else ' not'} be a list")
    if many and option.nargs == "+" and not value:
        raise ValueError("an empty list")
    convert: Any = option.type or str
    found = [convert(str(item)) for item in (value if many else [value])]
    if option.choices is not None and (wrong := [item for item in found if item not in option.choices]):
        raise ValueError(f"{wrong[0]!r} is not one of {', '.join(map(str, option.choices))}")
    return found if many else found[0]
