"""Reads the Dockerfile: its stages, what each inherits, and what an instruction says last."""

import re
import shlex

from tests.deploy.dashboard import ROOT


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continuation lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name.upper(), " ".join(arguments.split())) for name, arguments in pairs]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, those it inherits first."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for instruction, arguments in instructions():
        if instruction == "FROM":
            parent, _, name = arguments.split()
            found[name] = list(found.get(parent, [("FROM", parent)]))
        else:
            found[name].append((instruction, arguments))
    return found


def last(stage: str, instruction: str) -> str:
    """What an instruction says that a later one of its kind overrides."""
    return [arguments for name, arguments in stages()[stage] if name == instruction][-1]


def environment(stage: str) -> dict[str, str]:
    """A stage's ENV."""
    return dict(pair.split("=", 1) for name, text in stages()[stage] if name == "ENV" for pair in shlex.split(text))
