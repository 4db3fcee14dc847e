"""The dashboards' files as Grafana reads them: their panels and queries."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
HOME = ROOT / "deploy/grafana/dashboards/speechsum.json"


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


def load() -> list[dict[str, Any]]:
    """The dashboards."""
    return [json.loads(file.read_text()) for file in DASHBOARDS]


def panels() -> list[dict[str, Any]]:
    """Every panel that shows something; rows are headings."""
    return [panel for board in load() for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Every query of every panel."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(panel["title"], target["refId"], target["expr"], target["legendFormat"])
