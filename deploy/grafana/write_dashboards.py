"""Writes the dashboards of `dashboards/` from the panels of `boards.py`.

python deploy/grafana/write_dashboards.py           writes them
python deploy/grafana/write_dashboards.py --check   fails if they are not what would be written

Every dashboard can be imported into any Grafana: the data source, the scrape job and the instances are variables.
"""

import json
import sys
from pathlib import Path
from typing import Any

from boards import BOARDS, Board, Panel

FOLDER = Path(__file__).with_name("dashboards")
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The jobs that have the service's metrics or vLLM's: vLLM servers may be scraped by a job of their own.
JOBS = 'label_values({__name__=~"speechsum_ready|vllm:num_requests_running"}, job)'
INSTANCES = 'label_values(up{job=~"$job"}, instance)'
WIDTH, STAT_HEIGHT, GRAPH_HEIGHT = 24, 4, 8
COLORS = {
    "ok": "green", "no_speech": "blue", "not_understood": "orange", "refused": "yellow", "failed": "red",
    "aborted": "purple", "succeeded": "green", "cancelled": "purple", "delivered": "green", "dead": "red",
    "again": "yellow", "queued": "blue", "running": "yellow",
}  # fmt: skip


def dashboard(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON: its rows of panels from top to bottom."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in board.rows:
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "gridPos": _box(0, y, WIDTH, 1), "panels": []}
        )
        y += 1
        for line in row:
            height = STAT_HEIGHT if line[0].kind == "stat" else GRAPH_HEIGHT
            width = WIDTH // len(line)
            for number, one in enumerate(line):
                panels.append(_panel(one) | {"gridPos": _box(number * width, y, width, height)})
            y += height
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["speechsum"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards", "title": "speechsum", "tags": ["speechsum"], "asDropdown": False,
                "includeVars": True, "keepTime": True, "icon": "external link", "targetBlank": False, "url": "",
            }
        ],
        "templating": {
            "list": [
                {
                    "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
                    "regex": "", "hide": 0, "includeAll": False, "multi": False, "refresh": 1, "current": {},
                },
                _variable("job", "Job", JOBS),
                _variable("instance", "Instance", INSTANCES),
            ]
        },
        "panels": [panel | {"id": number} for number, panel in enumerate(panels, 1)],
    }  # fmt: skip


def _box(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE, "definition": query,
        "query": {"query": query, "refId": name}, "refresh": 2, "includeAll": True, "allValue": ".*", "multi": True,
        "sort": 1, "hide": 0, "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def _panel(panel: Panel) -> dict[str, Any]:
    is_stat = panel.kind == "stat"
    defaults: dict[str, Any] = {"unit": panel.unit, "color": {"mode": "palette-classic"}, "mappings": []}
    if is_stat:
        steps: list[dict[str, Any]] = [{"color": panel.steps[0], "value": None}]
        steps += [{"color": color, "value": value} for value, color in panel.steps[1]]
        defaults |= {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}
        options: dict[str, Any] = {
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "name" if panel.queries[0][1] else "auto",
        }  # fmt: skip
    else:
        defaults |= {
            "min": 0,
            "custom": {
                "drawStyle": "line", "fillOpacity": 25 if panel.stacked else 5, "lineWidth": 1, "showPoints": "never",
                "spanNulls": False, "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            },
        }  # fmt: skip
        options = {
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": [_color(name) for name in panel.colored]},
        "options": options,
        "targets": [
            {
                "datasource": DATASOURCE, "editorMode": "code", "expr": expression, "legendFormat": legend,
                "refId": chr(ord("A") + number), "instant": is_stat, "range": not is_stat,
            }
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _color(name: str) -> dict[str, Any]:
    color = {"id": "color", "value": {"fixedColor": COLORS[name], "mode": "fixed"}}
    return {"matcher": {"id": "byName", "options": name}, "properties": [color]}


def main() -> int:
    """Write or check the dashboards; returns the exit status."""
    for board in BOARDS:
        file = FOLDER / f"{board.uid}.json"
        text = json.dumps(dashboard(board), indent=2) + "\n"
        if "--check" not in sys.argv[1:]:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"{file.name} is not what boards.py says: run {sys.argv[0]}.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
