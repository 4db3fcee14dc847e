"""Memory and open files over time: only the longest life counts, and only growth is a violation."""

from tools.soak.resources import MAX_FILES_GROWTH, MAX_MEMORY_GROWTH_BYTES, Sample, find_growth, find_trend

MIB = 1 << 20


def life(
    number: int, start: float, seconds: float, memory_per_second: float = 0.0, files_per_second: float = 0.0
) -> list[Sample]:
    return [
        Sample(start + t, number, round(500 * MIB + memory_per_second * t), round(80 + files_per_second * t), 5)
        for t in range(0, round(seconds), 3)
    ]


def test_a_flat_life_grows_nothing() -> None:
    trend = find_trend(life(1, 0, 300))
    assert trend is not None
    assert (trend.memory_slope_bytes, trend.files_slope, trend.memory_growth_bytes) == (0, 0, 0)
    assert find_growth(trend) == []


def test_growth_is_found_with_its_slope() -> None:
    per_second = MAX_MEMORY_GROWTH_BYTES / 100
    trend = find_trend(life(1, 0, 300, per_second, MAX_FILES_GROWTH / 100))
    assert trend is not None
    assert round(trend.memory_slope_bytes / MIB) == round(per_second * 60 / MIB)
    assert len(find_growth(trend)) == 2


def test_a_restart_is_no_growth_and_a_short_life_says_nothing() -> None:
    trend = find_trend([*life(1, 0, 100, MIB), *life(2, 110, 400)])
    assert trend is not None
    assert trend.memory_slope_bytes == 0
    assert find_trend(life(1, 0, 30)) is None
    assert find_trend([]) is None
    assert find_growth(None) == []
