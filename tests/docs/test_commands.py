"""The commands in blocks that are not run still have the options that they are given."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

from tests.docs.blocks import PAGES, ROOT, Block, blocks_of

PROGRAMS = {"speechsum": "app.__main__", "speechsum-train": "training.__main__"}
GROUPS = ("data", "database", "jobs", "keys", "models")  # commands with commands of their own
# One process prints every help text: what trains takes seconds to import.
HELP = """
import contextlib, importlib, io, json, sys
asked = json.loads(sys.argv[1])
out = {}
for module, *words in asked:
    text, sys.argv = io.StringIO(), [module, *words, "--help"]
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        importlib.import_module(module).main()
    out[" ".join([module, *words])] = text.getvalue()
print(json.dumps(out))
"""
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


def test_the_options_in_the_blocks_exist() -> None:
    calls = list(_calls())
    assert len(calls) > 40
    asked = sorted({call for _, call, _ in calls})
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps(asked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    for block, call, options in calls:
        known = set(re.findall(r"--[a-z][a-z-]*", told[" ".join(call)]))
        assert known, f"{block.place}: {' '.join(call)} has no help"
        assert options <= known, f"{block.place}: {call[-1]} has no {', '.join(sorted(options - known))}"
