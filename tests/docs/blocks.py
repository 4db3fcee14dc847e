"""The fenced code blocks of the README, of the clients' READMEs and of every page in `docs/`.

A block is run unless the line before it is a marker that says why not, an HTML comment that no reader sees:

    <!-- not run: needs a GPU -->
    ```sh
    ...
    ```
"""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "results/README.md")),
    ROOT / "clients" / "python" / "README.md",
    ROOT / "clients" / "typescript" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUN = ("sh", "python")
PARSED = ("json", "yaml")
SHOWN = ("text", "nginx", "ts")  # TypeScript is a part of an example that runs (tests/clients/typescript)
SHORTEST_REASON = 10  # characters
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[^\n]*)$")
_MARKER = re.compile(r"^<!-- not run: (?P<reason>.*) -->$")


@dataclass(frozen=True)
class Block:
    """One block. line: of its first line of code. reason: why it is not run; None if it is."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def place(self) -> str:
        """Where a reader finds it, `docs/api.md:12`."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page)


def blocks_of(page: Path) -> list[Block]:
    """Every block of the page, in order. Raises ValueError for an open fence and for a marker without a block."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    number, reason = 0, None
    while number < len(lines):
        line = lines[number]
        number += 1
        if marker := _MARKER.match(line.strip()):
            reason = marker["reason"].strip()
            if number >= len(lines) or not _FENCE.match(lines[number]):
                raise ValueError(f"{name_of(page)}:{number}: a marker stands before no code block")
            continue
        fence = _FENCE.match(line)
        if fence is None:
            continue
        first = number
        while number < len(lines) and lines[number].strip() != fence["ticks"]:
            number += 1
        if number == len(lines):
            raise ValueError(f"{name_of(page)}:{first}: the code block is not closed")
        code = textwrap.dedent("\n".join(lines[first:number])) + "\n"
        found.append(Block(page, first + 1, fence["language"].strip(), code, reason))
        number, reason = number + 1, None
    return found
