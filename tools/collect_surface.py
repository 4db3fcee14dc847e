"""Collect the public surface of this checkout: what `tools.public_surface` writes and compares.

Most is collected from outside: the commands are run with `--help`, YAML keys are tried, the tables are read out of a
database that a command made. `PLACES` lists what has to be imported; a name that has moved elsewhere is searched for.
Run it in a process of its own, because it replaces the environment and parts of `argparse`, `typer`, `os` and `sys`.
"""

import argparse
import importlib
import importlib.util
import io
import json
import os
import re
import runpy
import sqlite3
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from tools import source_names
from tools.typer_parser import equivalent_parser

# Modules that may define a name, tried in order.
PLACES = {
    "create_app": ["app.main"],
    "Settings": ["app.settings"],
    "ServiceError": ["app.core.errors", "app.errors"],
    "Manifest": ["model_repo.manifest"],
    "Record": ["training.data.record", "training.corpus.record"],
}
# Documented `python -m` commands, and where the beginning of such a name may have moved.
MODULES = ["app", "training", "model_repo.assemble", "training.corpus", "training.speech"]
MODULES += [f"training.gpu.{name}" for name in ("repeats", "some", "starts", "table")]
MODULES += ["tests.injections", "tests.checks.recognizer", "tests.checks.program"]
MOVED = {
    "training.corpus": "training.synth.text",
    "training.speech": "training.synth.speech",
    "training.gpu": "tools.offline_gpu",
}
SAME_AS_SCRIPTS = ("app", "training")  # their options are those of `speechsum` and `speechsum-train`
Start = Callable[[], Any]


def collect(root: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Return the public surface of the checkout at `root`, as JSON holds it. known: an earlier one, whose YAML keys
    are tried too. Raises LookupError or RuntimeError if a part of it cannot be found.
    """
    with tempfile.TemporaryDirectory(prefix="surface-home-") as home:
        _isolate(Path(home))
        if not Path(str(importlib.import_module("app").__file__)).is_relative_to(root):
            raise RuntimeError(f"the package app is not imported from {root}")
        settings = load(root, "Settings")
        app = load(root, "create_app")(settings(model="scripted"))  # the model that needs no checkpoint
        scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
        starts: dict[str, Start] = {name: partial(_call, place) for name, place in scripts.items()}
        modules = {name: _module_now(name) for name in MODULES}
        more = {f"python -m {name}": module for name, module in modules.items() if name not in SAME_AS_SCRIPTS}
        starts |= {name: partial(_run_module, module) for name, module in more.items() if module}
        surface = {
            "openapi": app.openapi(),
            "routes": _routes(app),
            "metrics": _metrics(),
            "settings": dict(_settings(settings, _schema(settings), ())),
            "modules": {name: module for name, module in modules.items() if module},
            "commands": {name: one for start in starts for name, one in _commands(start, starts[start])},
            "yaml": dict(_yaml_keys(scripts, starts, known.get("yaml", {}), Path(home) / "config.yaml")),
            "errors": source_names.error_codes(root / "app", load(root, "ServiceError")),
            "events": source_names.strings(root / "app", source_names.EVENT),
            "headers": source_names.strings(root / "app", source_names.HEADER),
            "manifest": _schema(load(root, "Manifest")),
            "record": _schema(load(root, "Record")),
            "tables": _tables(starts["speechsum"], Path(home)),
        }
        del surface["openapi"]["info"]["version"]
        text = json.dumps(surface, default=_plain).replace(home, "~").replace(str(root), ".")
    found: dict[str, Any] = json.loads(text)
    return found


def load(root: Path, name: str) -> Any:
    """Return what is defined as `name`: where `PLACES` says, or else in any module that defines it."""
    defined = re.compile(rf"^(class|def) {name}\b", re.MULTILINE)
    files = [file for package in ("app", "model_repo", "training") for file in sorted((root / package).rglob("*.py"))]
    others = (".".join(f.relative_to(root).with_suffix("").parts) for f in files if defined.search(f.read_text()))
    for module in (*PLACES[name], *others):
        if _exists(module) and hasattr(importlib.import_module(module), name):
            return getattr(importlib.import_module(module), name)
    raise LookupError(f"no module defines {name}; add the one that does to PLACES")


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _module_now(name: str) -> str | None:
    moved = [name.replace(old, new, 1) for old, new in MOVED.items() if f"{name}.".startswith(f"{old}.")]
    return next((one for one in (name, *moved) if _exists(one)), None)


def _isolate(home: Path) -> None:
    """Let no default depend on the user, the machine or a `.env` file."""
    for name in [name for name in os.environ if name.startswith(("SPEECHSUM_", "XDG_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(home), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    os.chdir(home)
    os.cpu_count = lambda: 4
    os.sched_getaffinity = lambda _: {0, 1, 2, 3}


class HelpRequest(BaseException):
    """A parser, the only argument, was asked to print its help."""


def _call(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)()


def _run_module(module: str) -> Any:
    return runpy.run_module(module, run_name="__main__", alter_sys=True)


def run(start: Start, arguments: list[str]) -> argparse.ArgumentParser | None:
    """Run a command and return the parser that was asked to print its help, or None if none was."""

    def print_help(self: argparse.ArgumentParser, file: Any = None) -> None:
        raise HelpRequest(self)

    def format_help(self: Any, context: Any, formatter: Any) -> None:
        raise HelpRequest(equivalent_parser(self, context))

    sys.argv, argparse.ArgumentParser.print_help = ["command", *arguments], print_help  # type: ignore[method-assign]
    TyperCommand.format_help = TyperGroup.format_help = format_help  # type: ignore[assignment, method-assign]
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            start()
    except HelpRequest as request:
        parser: argparse.ArgumentParser = request.args[0]
        return parser
    except (Exception, SystemExit):
        return None
    return None


def _commands(name: str, start: Start, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The command `name words` and all below it, each with its options, which stand under each of their strings."""
    parser = run(start, [*words, "--help"])
    if parser is None and not name.startswith("python -m"):
        raise RuntimeError(f"{' '.join((name, *words))} --help prints no help")
    options: dict[str, Any] = {}  # stays empty for a command that reads its arguments without a parser
    for action in parser._actions if parser else ():
        if isinstance(action, argparse._SubParsersAction):
            for word in action.choices:
                yield from _commands(name, start, (*words, word))
        else:
            number = sum(one.startswith("argument ") for one in options) + 1
            options |= dict.fromkeys(action.option_strings or [f"argument {number}"], _describe(action, parser))
    yield " ".join((name, *words)), {"options": options, "help": (parser and parser.description) or ""}


def _describe(action: argparse.Action, parser: Any) -> dict[str, Any]:
    same = [one for one in parser._actions if one.dest == action.dest]  # a deprecated option and its successor
    groups = [group for group in parser._mutually_exclusive_groups if action in group._group_actions]
    kind = str if action.type is None else action.type
    described = {
        "takes": 1 if action.nargs is None else action.nargs,
        "type": getattr(kind, "__name__", "") if kind in (str, int, float, bool, Path) else "of its own",
        "default": next((_plain(one.default) for one in same if one.default is not argparse.SUPPRESS), None),
        "const": _plain(action.const),
        "required": any(one.required for one in same),
        "repeats": isinstance(action, argparse._AppendAction | argparse._CountAction),
        "one_of_group_required": any(group.required for group in groups),
        "exclusive": bool(groups),
        "help": action.help or "",
    }
    if action.choices is not None:
        described["choices"] = [_plain(one) for one in action.choices]
    if getattr(action, "deprecated", False) or re.search("deprecated|==SUPPRESS==", action.help or "", re.IGNORECASE):
        described["deprecated"] = True
    return described


def _yaml_keys(
    names: dict[str, Any], starts: dict[str, Start], known: dict[str, Any], file: Path
) -> Iterator[tuple[str, Any]]:
    """By command, the keys that a file given with `--config` may have. Each key is tried, with a value that fits."""
    for name in names:
        for command, parts in _commands(name, starts[name]):
            words = command.split(" ")[1:]
            if "--config" not in parts["options"] or (parser := run(starts[name], [*words, "--help"])) is None:
                continue
            tried = {key: [one["sample"]] for key, one in known.get(command, {}).items()}
            for action in parser._actions:
                spelled = {option.lstrip("-").replace("-", "_") for option in action.option_strings}
                tried |= dict.fromkeys({action.dest, *spelled}, _samples(action))
            accepted = {}
            for key, value in ((key, value) for key, values in tried.items() for value in values):
                file.write_text(json.dumps({key: value}))
                if key not in accepted and run(starts[name], [*words, "--config", str(file), "--help"]):
                    accepted[key] = {"sample": value}
            yield command, accepted


def _samples(action: argparse.Action) -> list[Any]:
    """Values of which the option takes at least one, as YAML holds them."""
    default = action.default if isinstance(action.default, list) else [action.default]
    values = [*(action.choices or ()), *default, 1, "espeak:1", True]
    plain = [one for one in values if isinstance(one, int | float | str)]
    return [shape for one in plain for shape in (one, [one])]


def _routes(app: Any) -> dict[str, list[str]]:
    routes: dict[str, list[str]] = {}
    for route in app.routes:
        routes[route.path] = sorted({*routes.get(route.path, ()), *(getattr(route, "methods", None) or ())})
    return routes


def _metrics() -> dict[str, Any]:
    """The service's own families, which are in the default registry once the application is imported."""
    from prometheus_client import REGISTRY

    families: list[Any] = [one for one in list(REGISTRY._collector_to_names) if hasattr(one, "_labelnames")]
    return {
        family._name: {
            "type": family._type,
            "labels": list(family._labelnames),
            "buckets": [str(bound) for bound in getattr(family, "_kwargs", {}).get("buckets", ())],
            "help": family._documentation,
        }
        for family in families
        if family._name.startswith("speechsum_")
    }


def _settings(model: Any, schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Each setting's name in the environment, with its type as JSON Schema and its default."""
    for name, field in model.model_fields.items():
        of = schema["properties"][name]
        if hasattr(field.annotation, "model_fields"):
            yield from _settings(field.annotation, of, (*path, name))
        else:
            default = None if field.is_required() else _plain(field.get_default(call_default_factory=True))
            type_ = {key: value for key, value in of.items() if key not in ("default", "description")}
            said = {"type": type_, "default": default, "help": field.description or ""}
            yield f"SPEECHSUM_{'__'.join((*path, name)).upper()}", said


def _tables(start: Start, home: Path) -> dict[str, Any]:
    """Tables, columns and indexes of a new database, which a command makes."""
    run(start, ["keys", "list"])
    (file,) = (one for one in home.rglob("*") if one.is_file() and one.read_bytes()[:15] == b"SQLite format 3")
    tables: dict[str, Any] = {}
    with closing(sqlite3.connect(file)) as database:
        for kind, name, table, text in database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"):
            of_table = tables.setdefault(table, {})
            of_table |= {f"index {name}": text} if kind == "index" and text else {}
            for _, column, *facts in database.execute(f"PRAGMA table_info({name})") if kind == "table" else ():
                of_table[column] = dict(zip(("type", "not_null", "default", "primary_key"), facts, strict=True))
    return tables


def _schema(model: Any) -> dict[str, Any]:
    """The model's JSON Schema, without the names of classes: references are replaced by what they refer to."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(model).json_schema()
    definitions = schema.pop("$defs", {})

    def inline(node: Any, within: tuple[str, ...] = ()) -> Any:
        if isinstance(node, list):
            return [inline(one, within) for one in node]
        if not isinstance(node, dict):
            return node
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name in definitions and name not in within:
            return inline(definitions[name] | {key: node[key] for key in node if key != "$ref"}, (*within, name))
        return {key: inline(one, within) for key, one in node.items() if key != "title" or isinstance(one, dict)}

    return dict(inline(schema))


def _plain(value: Any) -> Any:
    """The value as JSON holds it; of an object without such a form only that there is one."""
    value = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value) if isinstance(value, Path) else "an object"
