"""Versions are drawn by weight: in proportion, the same one for a seed, and with few changes if a weight changes."""

from collections import Counter

import pytest

from app.models.version_draw import draw_version

SEEDS = [f"request-{number}" for number in range(20_000)]


@pytest.mark.parametrize(
    "weights",
    [{"a": 90.0, "b": 10.0}, {"a": 1.0, "b": 1.0, "c": 2.0}, {"a": 0.5, "b": 0.001}, {"a": 3.0, "b": 0.0}],
    ids=str,
)
def test_each_is_drawn_as_often_as_its_weight_says(weights: dict[str, float]) -> None:
    drawn = Counter(draw_version(seed, weights) for seed in SEEDS)
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        deviation = (share * (1 - share) / len(SEEDS)) ** 0.5
        assert abs(drawn[name] / len(SEEDS) - share) <= 4 * deviation, (name, drawn)


def test_a_seed_draws_the_same_whatever_the_order() -> None:
    for seed in SEEDS[:200]:
        assert draw_version(seed, {"a": 60.0, "b": 40.0}) == draw_version(seed, {"b": 40.0, "a": 60.0})


def test_more_weight_for_one_takes_seeds_from_the_others_only() -> None:
    before = [draw_version(seed, {"a": 90.0, "b": 10.0}) for seed in SEEDS]
    after = [draw_version(seed, {"a": 90.0, "b": 30.0}) for seed in SEEDS]
    moved = Counter((one, other) for one, other in zip(before, after, strict=True) if one != other)
    assert set(moved) == {("a", "b")}
    assert moved["a", "b"] / len(SEEDS) == pytest.approx(30 / 120 - 10 / 100, abs=0.015)


def test_without_any_weight_none_is_drawn() -> None:
    assert draw_version("seed", {"a": 0.0}) is None
    assert draw_version("seed", {}) is None
