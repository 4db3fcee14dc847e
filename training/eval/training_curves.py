"""Draw the training curves of one or several runs from their logs: a panel for each logged value, a line for each run.

    speechsum-train curves var/runs/sft/log.json var/runs/kd/log.json --out var/curves.png

Reads the `log.json` of every recipe, and the files under `results/` that hold the logs of several runs by name. Knows
nothing about how the values were computed.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TITLES = {
    "loss": "loss",
    "audio_gain": "audio gain, nats a token (0 is deaf)",
    "token_error": "token error, held out",
    "spikes_right": "words at the right embedding, held out",
    "distance": "distance to the right embedding, held out",
    "divergence": "divergence from the teacher, nats",
    "divergence_of_references": "the same, on the data's summaries",
    "answer_tokens": "tokens an answer",
    "clipped": "answers without an end",
    "repetition": "repetition",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "chosen preferred",
}
Points = list[tuple[float, float]]


def read_logs(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the log lines of each run by its name. A run that is alone in its file is named after the folder. Raises
    ValueError if the file holds no log.
    """
    logs = json.loads(file.read_text())
    if isinstance(logs, list):
        logs = {file.parent.name if file.name == "log.json" else file.stem: logs}
    if not isinstance(logs, dict) or not all(isinstance(lines, list) for lines in logs.values()):
        raise ValueError(f"{file} holds no log")
    return logs


def panels(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Points]]:
    """Return {value: {run: [(step, value)]}} for the values that have a title and that a run logged at least twice."""
    out: dict[str, dict[str, Points]] = {}
    for figure in TITLES:
        lines = {
            name: [(float(line["step"]), float(line[figure])) for line in log if figure in line and "step" in line]
            for name, log in runs.items()
        }
        if lines := {name: points for name, points in lines.items() if len(points) > 1}:
            out[figure] = lines
    return out


def draw_curves(runs: dict[str, list[dict[str, Any]]], out: Path) -> int:
    """Write the curves as a PNG file, and return the number of panels. Raises ValueError if there is nothing to
    draw.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    curves = panels(runs)
    if not curves:
        raise ValueError("there is no curve to draw: no value was logged twice")
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(5 * columns, 3.4 * rows), squeeze=False, layout="constrained"
    )
    colours = {name: f"C{i}" for i, name in enumerate(runs)}
    for axis, (name, lines) in zip(axes.flat, curves.items(), strict=False):
        for run, points in lines.items():
            axis.plot(*zip(*points, strict=True), color=colours[run], label=run, linewidth=1.4)
        axis.set_title(TITLES[name], fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(curves) :]:
        axis.set_visible(False)
    drawn = [run for run in runs if any(run in lines for lines in curves.values())]
    handles = [Line2D([], [], color=colours[run]) for run in drawn]
    figure.legend(handles, [shorten_name(run) for run in drawn], loc="outside lower center", fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
    return len(curves)


def shorten_name(name: str, most: int = 90) -> str:
    """Return the name, cut to at most `most` characters for the legend."""
    return name if len(name) <= most else name[: most - 1] + "…"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `curves`."""
    parser.add_argument("logs", type=Path, nargs="+", help="log.json of runs, or files that hold such logs by name")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")


def run(options: argparse.Namespace) -> int:
    """Run `curves`: draw the chart and print its number of panels."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for file in options.logs:
        for name, lines in read_logs(file).items():
            runs[_unused_name(name, runs)] = lines
    print(f"{options.out}: {draw_curves(runs, options.out)} panels")
    return 0


def _unused_name(name: str, taken: Sequence[str] | dict[str, Any]) -> str:
    number, unused = 1, name
    while unused in taken:
        number, unused = number + 1, f"{name} {number + 1}"
    return unused
