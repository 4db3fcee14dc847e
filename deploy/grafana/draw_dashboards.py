"""Draws the dashboards as pictures, from what a Prometheus has recorded: for documents, or where no Grafana runs.

    python deploy/grafana/draw_dashboards.py --prometheus http://127.0.0.1:9090 --minutes 60 --out pictures

Each panel's queries are asked over the time, and plotted where the panel lies on the dashboard. It needs matplotlib
(`speechsum[train]`). Colors and scales are simpler than Grafana's.
"""

import argparse
import json
import math
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).with_name("dashboards")
Series = list[dict[str, Any]]  # of Prometheus: `metric` (labels) and `values` (pairs of a time and a number as text)
AskRange = Callable[[str, float, float, float], Series]  # a query, start, end and step, in seconds

WIDTH_INCHES, UNIT_INCHES = 15.0, 0.29  # of the page, and of one unit of the dashboard's grid in height
STEPS = 120  # points of a curve
MAX_LEGENDS = 6
INK, PALE, ROW = "#24292f", "#d8dee4", "#0f6b6b"
COLORS = ("#0f766e", "#d97706", "#2563eb", "#b91c1c", "#7c3aed", "#4d7c0f", "#be185d", "#475569")
NAMED_COLORS = {"green": "#3f9142", "blue": "#2563eb", "orange": "#d97706", "yellow": "#caa400", "red": "#c62828",
                "purple": "#7c3aed"}  # fmt: skip


def draw_dashboard(board: dict[str, Any], ask: AskRange, start: float, end: float, interval: str, out: Path) -> None:
    """Write one dashboard as a picture.

    Args:
        board: The dashboard, as Grafana reads it.
        ask: Returns the series that a query gives over a time.
        start: Begin of the time, in Unix seconds.
        end: End of the time, in Unix seconds.
        interval: What Grafana would put in place of `$__rate_interval`, such as `1m`.
        out: The file to write; its suffix is the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    units = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    height = units * UNIT_INCHES
    figure = pyplot.figure(figsize=(WIDTH_INCHES, height))
    for panel in board["panels"]:
        box = panel["gridPos"]
        left, width = box["x"] / 24, box["w"] / 24
        top = 1 - box["y"] / units
        if panel["type"] == "row":
            figure.text(0.008, top - 0.75 / units, panel["title"], fontsize=13, fontweight="bold", color=ROW)
            continue
        # room for the title above a panel, and for numbers and legend below it
        bottom = top - (box["h"] - 1.9) / units
        area = (left + 0.035, bottom, width - 0.05, (box["h"] - 3.2) / units)
        found = [(target, ask(_substitute(target["expr"], interval), start, end, (end - start) / STEPS))
                 for target in panel["targets"]]  # fmt: skip
        title = (left + 0.008, top - 0.8 / units)
        figure.text(*title, panel["title"], fontsize=9.5, fontweight="bold", color=INK)
        if panel["type"] == "stat":
            text = _stat_text(panel, found)
            size = 17 if len(text) < 14 else 9
            figure.text(title[0], top - 1.3 / units, text, fontsize=size, color=ROW, va="top")
        else:
            _draw_curves(figure.add_axes(area), panel, found, start)
    figure.savefig(out, dpi=100, facecolor="white")
    pyplot.close(figure)


def _draw_curves(axes: Any, panel: dict[str, Any], found: list[tuple[dict[str, Any], Series]], start: float) -> None:
    from matplotlib.ticker import FuncFormatter

    unit = panel["fieldConfig"]["defaults"]["unit"]
    fixed = {one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
             for one in panel["fieldConfig"]["overrides"]}  # fmt: skip
    number = 0
    for target, series in found:
        for one in series:
            points = [(float(at) - start, float(value)) for at, value in one["values"]]
            points = [(at, value) for at, value in points if math.isfinite(value)]
            name = _legend(target["legendFormat"], one["metric"])
            color = NAMED_COLORS[fixed[name]] if name in fixed else COLORS[number % len(COLORS)]
            label = name if number < MAX_LEGENDS else None
            axes.plot([at for at, _ in points], [value for _, value in points], color=color, linewidth=1.3, label=label)
            number += 1
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7, colors=INK, length=0)
    axes.grid(color=PALE, linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    if number:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, fontsize=6.5, frameon=False,
                    handlelength=1.2, columnspacing=1.0, labelcolor=INK)  # fmt: skip
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", fontsize=8, color=INK)


def _stat_text(panel: dict[str, Any], found: list[tuple[dict[str, Any], Series]]) -> str:
    (target, series) = found[0]
    if not series:
        return "no data"
    last = float(series[0]["values"][-1][1])
    if target["legendFormat"]:
        return "\n".join(_legend(target["legendFormat"], one["metric"]) for one in series[:3])
    return format_value(last, panel["fieldConfig"]["defaults"]["unit"])


def format_value(value: float, unit: str) -> str:
    """Return a number with its unit, as short as Grafana would write it. unit: Grafana's name of the unit."""
    if not math.isfinite(value):
        return "none"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    if unit == "bytes":
        power = min(4, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    return f"{value:.4g}" + ("/s" if unit in ("reqps", "ops") else "")


def _legend(template: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template).strip()


def _substitute(query: str, interval: str) -> str:
    return query.replace("$__rate_interval", interval).replace("$job", ".*").replace("$instance", ".*")


def _ask_over_http(base_url: str) -> AskRange:
    def ask(query: str, start: float, end: float, step: float) -> Series:
        fields = {"query": query, "start": start, "end": end, "step": step}
        address = f"{base_url.rstrip('/')}/api/v1/query_range?{urllib.parse.urlencode(fields)}"
        with urllib.request.urlopen(address, timeout=60) as response:
            found: Series = json.load(response)["data"]["result"]
        return found

    return ask


def main() -> None:
    """Draw every dashboard."""
    parser = argparse.ArgumentParser(description="Draw the dashboards from what a Prometheus has recorded.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="address of the Prometheus")
    parser.add_argument("--minutes", type=float, default=60, help="length of the time, which ends now")
    parser.add_argument("--interval", default="1m", help="window of rates: at least four scrapes")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the pictures")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    end = time.time()
    for file in sorted(DASHBOARDS.glob("*.json")):
        out = given.out / f"{file.stem}.png"
        board = json.loads(file.read_text())
        ask = _ask_over_http(given.prometheus)
        draw_dashboard(board, ask, end - 60 * given.minutes, end, given.interval, out)
        print(out)


if __name__ == "__main__":
    main()
