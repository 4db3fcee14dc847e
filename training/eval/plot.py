"""The table of systems as a chart: a row for each system, and a panel for each of the most important scores.

Systems that take audio have shades of blue that grow darker from top to bottom, in the order of the stages; the others
have other colours. A line through each panel marks the best system that reads the true transcript: an upper bound for
models that hear. Knows nothing about how the scores were computed.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AUDIO_KINDS, ABLATION_KINDS, TRANSCRIPT_KINDS = ("hears", "service"), ("silent", "shuffled"), ("reads", "endpoint")
# Role of a system → its colour and its words in the legend. Systems that hear have a shade of blue each.
COLOURS = {"cascade": "#d99a4e", "reads": "#6a9f6d", "ablated": "#d4d4d4", "reference": "#a9a9a9"}
LEGEND = {
    "hears": "hears the recording",
    "cascade": "reads what Whisper heard",
    "reads": "reads the true transcript",
    "ablated": "hears silence or another recording",
    "reference": "the data's own summaries",
}
# (score, heading, whether more is better, format, end of the axis or None)
PANELS: tuple[tuple[str, str, bool, str, float | None], ...] = (
    ("overall", "Judge, 1 to 7", True, ".2f", 7),
    ("core_coverage", "Core facts covered", True, ".0%", 1),
    ("hallucinations_per_summary", "Inventions a summary", False, ".2f", None),
    ("hallucination", "Summaries that invent", False, ".0%", 1),
    ("bertscore", "BERTScore", True, ".3f", None),
    ("rougeL", "ROUGE-L", True, ".3f", None),
)
MAX_PANELS = 4
BOUND_COLOUR = "#3c7340"


def draw_systems(results: Sequence[dict[str, Any]], out: Path, note: str = "") -> None:
    """Write the chart as a PNG file.

    results: for each system, from top to bottom, its `system` (name), `kind` and `figures`. note: a line of text under
    the chart.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [panel for panel in PANELS if any(panel[0] in r["figures"] for r in results)][:MAX_PANELS]
    names = [r["system"] for r in results]
    size = (2.2 + 0.06 * max(map(len, names)) + 3.1 * max(1, len(panels)), 1.7 + 0.42 * len(names))
    figure, axes = pyplot.subplots(
        1, max(1, len(panels)), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    colours = [system_colour(results, place) for place in range(len(results))]
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, panel, results, colours)
    first = axes[0][0]
    first.set_yticks(range(len(names)), names, fontsize=9.5)
    first.set_ylim(len(names) - 0.4, -0.6)
    handles = _legend(results, pyplot)
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=min(4, len(handles)),
        fontsize=8.5,
        frameon=False,
        title="\n".join(textwrap.wrap(note, round(15 * size[0]))) or None,
        title_fontsize=8.5,
        alignment="left",
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150, facecolor="white")
    pyplot.close(figure)


def system_role(kind: str) -> str:
    """Return the key of `LEGEND` for a system of this kind, or the kind itself if there is none."""
    groups = {"hears": AUDIO_KINDS, "ablated": ABLATION_KINDS, "reads": TRANSCRIPT_KINDS}
    return next((name for name, kinds in groups.items() if kind in kinds), kind)


def system_colour(results: Sequence[dict[str, Any]], place: int) -> Any:
    """Return the colour of the system at this place; of those that hear, the last one is the darkest."""
    from matplotlib import colormaps

    what = system_role(results[place]["kind"])
    if what != "hears":
        return COLOURS.get(what, "#a9a9a9")
    rungs = [i for i, r in enumerate(results) if system_role(r["kind"]) == "hears"]
    return colormaps["Blues"](0.85 if len(rungs) == 1 else 0.35 + 0.55 * rungs.index(place) / (len(rungs) - 1))


def upper_bound(results: Sequence[dict[str, Any]], name: str, more: bool) -> dict[str, Any] | None:
    """Return the best system by this score among those that read the true transcript, or None. more: whether a higher
    score is better.
    """
    known = [r for r in results if system_role(r["kind"]) == "reads" and name in r["figures"]]
    return (max if more else min)(known, key=lambda r: r["figures"][name], default=None)


def _panel(axis: Any, panel: tuple[str, str, bool, str, float | None], results: Any, colours: list[Any]) -> None:
    name, heading, more, form, end = panel
    furthest = max(_interval(r["figures"], name)[1] for r in results if name in r["figures"])
    axis.set_xlim(1 if name == "overall" else 0, min(end or furthest, furthest) * 1.22 or 1)
    left = axis.get_xlim()[0]
    if best := upper_bound(results, name, more):
        low, high = _interval(best["figures"], name)
        axis.axvspan(low, high, color=BOUND_COLOUR, alpha=0.08, linewidth=0, zorder=0)
        axis.axvline(best["figures"][name], color=BOUND_COLOUR, linewidth=1.4, linestyle=(0, (5, 3)), zorder=3)
    for row, result in enumerate(results):
        if name not in result["figures"]:
            axis.text(left, row, " -", va="center", fontsize=8.5, color="0.5")
            continue
        value, (low, high) = result["figures"][name], _interval(result["figures"], name)
        hatch = "////" if system_role(result["kind"]) == "ablated" else None
        axis.barh(
            row, value - left, left=left, height=0.62, color=colours[row], hatch=hatch, edgecolor="white", zorder=2
        )
        for shade, width in (("white", 3.2), ("0.15", 1.2)):  # a white border makes it visible on a dark bar
            axis.plot([low, high], [row, row], color=shade, linewidth=width, solid_capstyle="butt", zorder=4)
        label = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8}
        axis.annotate(
            format(value, form), (max(high, value), row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8.5, bbox=label, zorder=5,
        )  # fmt: skip
    right = min(axis.get_xlim()[1], end or float("inf"))
    axis.set_xticks([tick for tick in axis.get_xticks() if left <= tick <= right])
    axis.set_title(f"{heading}\n{'more' if more else 'fewer'} is better", fontsize=9.5, loc="left")
    axis.grid(axis="x", color="0.92", zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(axis="both", length=0, labelsize=8)
    if "%" in form:
        axis.xaxis.set_major_formatter("{x:.0%}")
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.spines["left"].set_color("0.6")


def _interval(figures: dict[str, Any], name: str) -> tuple[float, float]:
    low, high = figures.get(f"{name}_95", (figures[name], figures[name]))
    return min(low, figures[name]), max(high, figures[name])


def _legend(results: Sequence[dict[str, Any]], pyplot: Any) -> list[Any]:
    there = dict.fromkeys(system_role(r["kind"]) for r in results)
    handles = []
    for what in there:
        face = pyplot.get_cmap("Blues")(0.75) if what == "hears" else COLOURS.get(what, "#a9a9a9")
        hatch = "////" if what == "ablated" else None
        words = LEGEND.get(what, what)
        handles.append(pyplot.Rectangle((0, 0), 1, 1, facecolor=face, hatch=hatch, edgecolor="white", label=words))
    handles.append(pyplot.Line2D([], [], color="0.15", linewidth=1.2, label="95 % interval"))
    if "reads" in there:
        dashes = (0, (5, 3))
        words = "upper bound: the best that reads the true transcript"
        handles.append(pyplot.Line2D([], [], color=BOUND_COLOUR, linewidth=1.4, linestyle=dashes, label=words))
    return handles
