from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from training.eval.plot import BOUND_COLOUR, COLOURS, draw_systems, system_colour, upper_bound


def result(name: str, kind: str, core: float, **figures: Any) -> dict[str, Any]:
    known = {"core_coverage": core, "core_coverage_95": [core - 0.05, core + 0.05], "hallucinations_per_summary": 0.25}
    return {"system": name, "kind": kind, "figures": known | figures}


RUNGS = [result("SFT", "hears", 0.2), result("KD", "hears", 0.3), result("DPO", "hears", 0.4)]
TWIN = result("twin", "reads", 0.6)


def pixels(results: list[dict[str, Any]], file: Path, of: Any) -> int:
    """How many of the picture's pixels have this colour."""
    draw_systems(results, file, "20 recordings")
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        found = np.asarray(picture.convert("RGB"))
    wanted = ImageColor.getrgb(of) if isinstance(of, str) else tuple(round(255 * part) for part in of[:3])
    return int((found == np.array(wanted)).all(-1).sum())


def test_a_longer_bar_for_more_and_one_for_each_system(tmp_path: Path) -> None:
    low, high = (pixels([result("x", "cascade", c)], tmp_path / "p" / "1.png", COLOURS["cascade"]) for c in (0.2, 0.4))
    assert high > 0
    assert low != high
    everything = [*RUNGS, result("heard", "cascade", 0.3), result("silence", "silent", 0.02), TWIN]
    for place in range(3):
        assert pixels(everything, tmp_path / "2.png", system_colour(everything, place)) > 500
    assert len({system_colour(everything, place) for place in range(6)}) == 6


def test_later_rungs_are_darker() -> None:
    shades = [sum(system_colour(RUNGS, place)[:3]) for place in range(3)]
    assert shades == sorted(shades, reverse=True)
    assert len(set(shades)) == 3
    assert sum(system_colour(RUNGS[:1], 0)[:3]) < shades[0]


def test_the_best_that_reads_the_truth_is_a_line(tmp_path: Path) -> None:
    weak = result("untaught", "endpoint", 0.3, hallucinations_per_summary=0.1)
    assert upper_bound([*RUNGS, weak, TWIN], "core_coverage", more=True) == TWIN
    assert upper_bound([*RUNGS, weak, TWIN], "hallucinations_per_summary", more=False) == weak
    assert upper_bound(RUNGS, "core_coverage", more=True) is None
    assert pixels([*RUNGS, TWIN], tmp_path / "with.png", BOUND_COLOUR) > 200
    assert pixels(RUNGS, tmp_path / "without.png", BOUND_COLOUR) == 0


@pytest.mark.parametrize("figures", [{"rougeL": 0.3, "rougeL_95": [0.2, 0.4]}, {"overall": 1.0}, {}])
def test_whatever_figures_there_are(figures: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"system": "a", "kind": "hears", "figures": figures}, {"system": "b", "kind": "reference", "figures": {}}]
    draw_systems(rows, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000
