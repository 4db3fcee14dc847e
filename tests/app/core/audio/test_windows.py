"""Windows cover all speech and are cut at pauses."""

import itertools
import random

import numpy as np
import pytest

from app.core.audio.windows import Window, covers, split_into_windows

SILENCE = np.zeros(0, np.float32)


def spans_of(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
    return list(pairs)


def test_what_fits_is_one_window_without_the_silence_around_it() -> None:
    assert split_into_windows(spans_of((3, 8), (10, 20)), 30, SILENCE) == [Window(3, 20)]
    assert split_into_windows([], 30, SILENCE) == []


def test_it_is_cut_in_the_pause_that_makes_the_parts_alike() -> None:
    spans = spans_of((0, 9), (10, 19), (20, 29), (30, 39))
    assert split_into_windows(spans, 30, SILENCE) == [Window(0, 19), Window(20, 39)]


def test_a_long_silence_is_in_no_window() -> None:
    assert split_into_windows(spans_of((0, 20), (500, 520)), 30, SILENCE) == [Window(0, 20), Window(500, 520)]


def test_who_never_pauses_is_cut_at_the_quietest_moment() -> None:
    samples = np.full(100 * 16_000, 0.3, np.float32)
    samples[int(27.4 * 16_000) : int(27.6 * 16_000)] = 0.001
    windows = split_into_windows(spans_of((0, 40)), 30, samples)
    assert [round(one.start, 1) for one in windows] == [0, pytest.approx(27.5, abs=0.11)]
    assert windows[0].end == windows[1].start
    assert windows[1].end == 40


@pytest.mark.parametrize("seed", range(30))
def test_any_speech_is_covered_by_windows_in_order_that_are_short_enough(seed: int) -> None:
    rng = random.Random(seed)
    spans, now = [], 0.0
    for _ in range(rng.randint(1, 60)):
        now += rng.choice([0.5, 0.7, 3, 60])
        end = now + rng.choice([0.3, 2, 10, 45, 100])
        spans.append((now, end))
        now = end
    longest = rng.choice([10.0, 30.0, 300.0])
    windows = split_into_windows(spans, longest, np.zeros(int(now * 16_000), np.float32))
    assert covers(windows, spans)
    assert all(0 < one.seconds <= longest + 1e-6 for one in windows)
    assert all(a.end <= b.start for a, b in itertools.pairwise(windows))
    read = sum(one.seconds for one in windows)
    assert read <= spans[-1][1] - spans[0][0] + 1e-6


def test_what_is_not_covered_is_seen() -> None:
    spans = spans_of((0, 10), (12, 20))
    assert covers([Window(0, 15), Window(15, 20)], spans)
    assert not covers([Window(0, 10), Window(13, 20)], spans)
    assert not covers([Window(0, 10)], spans)
    assert not covers([], spans)
    assert covers([], [])


def test_a_windows_samples_are_a_view_of_its_stretch() -> None:
    samples = np.arange(32_000, dtype=np.float32)
    piece = Window(0.5, 1.5).extract(samples)
    assert (piece[0], len(piece)) == (8000, 16_000)
    assert np.shares_memory(piece, samples)


def test_a_model_hears_faint_speech_louder_and_all_else_as_it_is() -> None:
    tone = np.sin(np.arange(32_000) / 20).astype(np.float32)
    whole = Window(0, 2)
    assert np.abs(whole.extract(tone * np.float32(0.0005))).max() == pytest.approx(0.1)
    for loud in (tone, tone * np.float32(0.02), np.zeros(32_000, np.float32)):
        np.testing.assert_array_equal(whole.extract(loud), loud)
    mixed = np.concatenate([tone * np.float32(0.0005), tone])
    np.testing.assert_array_equal(Window(0, 4).extract(mixed), mixed)
