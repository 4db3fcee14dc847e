"""The dashboard's file as Grafana reads it: its panels and their queries."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy/grafana/dashboards/speechsum.json"


@dataclass(frozen=True)
class Query:
    """One query of one panel, variables not yet substituted."""

    panel: str
    letter: str
    text: str
    legend: str

    def substituted(self, **variables: str) -> str:
        """The query as Grafana sends it. Raises KeyError for a variable without a value."""
        return re.sub(r"\$(\w+)", lambda match: variables[match[1]], self.text)


def load() -> dict[str, Any]:
    """The dashboard."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return board


def panels() -> list[dict[str, Any]]:
    """Every panel that shows something; rows are headings."""
    return [panel for panel in load()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Every query of every panel."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(panel["title"], target["refId"], target["expr"], target["legendFormat"])
