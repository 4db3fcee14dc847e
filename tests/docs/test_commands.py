"""The commands in blocks that are not run still have the options that they are given."""

import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Iterator

import pytest

from tests.docs.blocks import PAGES, Block, blocks_of

PROGRAMS = {"speechsum": "app.__main__", "speechsum-train": "training.__main__"}
GROUPS = ("data", "database", "jobs", "keys", "models")  # commands with commands of their own
Call = tuple[str, ...]


def _calls() -> Iterator[tuple[Block, Call, set[str]]]:
    """Block, module and command words, long options, for every call of this project's programs in the blocks."""
    for page in PAGES:
        for block in blocks_of(page):
            if block.language != "sh":
                continue
            for line in block.code.replace("\\\n", " ").splitlines():
                # A quoted text across lines belongs to no command of ours.
                with_program = re.search(r"(?:^|\s|\()(speechsum(?:-train)?)\s+(?!=)([a-z].*)", line.split(" #")[0])
                if with_program is None or line.count('"') % 2 or line.count("'") % 2:
                    continue
                program, rest = with_program.groups()
                words = shlex.split(re.split(r"[|;)]| && ", rest)[0])
                named = words[:2] if words[0] in GROUPS else words[:1]
                options = {word.split("=")[0] for word in words if word.startswith("--") and len(word) > 2}
                yield block, (PROGRAMS[program], *named), options


def _help_text(call: Call, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints with `--help`; in this process, which has imported what trains anyway."""
    module, *words = call
    text = io.StringIO()
    monkeypatch.setattr(sys, "argv", [module, *words, "--help"])
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        importlib.import_module(module).main()
    return text.getvalue()


def test_the_options_in_the_blocks_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list(_calls())
    assert len(calls) > 40
    told = {call: _help_text(call, monkeypatch) for call in sorted({call for _, call, _ in calls})}
    for block, call, options in calls:
        known = set(re.findall(r"--[a-z][a-z-]*", told[call]))
        assert known, f"{block.place}: {' '.join(call)} has no help"
        assert options <= known, f"{block.place}: {call[-1]} has no {', '.join(sorted(options - known))}"
