"""What a benchmark returns, and how it is printed. Knows nothing about what is measured."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

Cell = str | int | float | None


@dataclass(frozen=True)
class Results:
    """The outcome of one benchmark.

    Args:
        title: One line above the table.
        columns: Headings, with units.
        rows: The table; each row has a cell for each column. None is printed as an empty cell.
        summary: The figures in short, by name with its unit (`added_ttft_p50_ms`), for the last line.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    summary: Mapping[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError if a row has more or fewer cells than there are columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"the row {list(row)} has {len(row)} cells for {len(self.columns)} columns")


def format_cell(cell: Cell) -> str:
    """Return a cell as it is printed: floats with three significant digits, as far as that says something."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a Markdown table whose source is aligned, so that it reads well in a terminal, too.

    A column whose cells are all numbers is aligned to the right.
    """
    texts = [list(columns), *([format_cell(cell) for cell in row] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*texts, strict=True)]
    numeric = [all(not isinstance(row[place], str) for row in rows) for place in range(len(columns))]
    lines = [
        "| "
        + " | ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        )
        + " |"
        for row in texts
    ]
    rule = "|".join("-" * (width + 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def format_theory(name: str, theory: str) -> str:
    """Return the theory of a benchmark under its name."""
    return f"# {name}\n\n{textwrap.dedent(theory).strip()}\n"


def format_results(results: Results) -> str:
    """Return title and table."""
    return f"{results.title}\n\n{format_table(results.columns, results.rows)}\n"


def json_line(name: str, quick: bool, seconds: float, machine: Mapping[str, Cell], results: Results) -> str:
    """Return the whole outcome as one line of JSON.

    Args:
        name: The benchmark's name.
        quick: Whether it was a quick run.
        seconds: How long it took.
        machine: Where it ran.
        results: What it found.
    """
    whole = {"benchmark": name, "quick": quick, "seconds": round(seconds, 1), "machine": dict(machine)}
    return json.dumps(whole | asdict(results), ensure_ascii=False, allow_nan=False)
