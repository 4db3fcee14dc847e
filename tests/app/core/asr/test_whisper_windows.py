"""Segments are grouped by Whisper's windows, which tell whether and where they go round in circles."""

from collections import namedtuple
from dataclasses import replace

import pytest

from app.core.asr.whisper_windows import group_by_window, is_surely_speech, join_windows

Segment = namedtuple("Segment", "seek start end text avg_logprob no_speech_prob")
LAUGHTER = " Ha" + " ha" * 200


def window_texts(*texts: str) -> list[Segment]:
    return [Segment(0, 5.0 * n, 5.0 * n + 5, text, -0.1, 0.1) for n, text in enumerate(texts)]


def test_segments_of_a_window_share_its_figures_and_times_are_moved() -> None:
    segments = [
        Segment(0, 0.0, 2.0, " Anna calls.", -0.2, 0.1),
        Segment(0, 2.0, 4.0, " Ben pays.", -0.2, 0.1),
        Segment(2800, 28.0, 30.0, LAUGHTER, -0.1, 0.5),
    ]
    first, second = group_by_window(segments, offset=60.0)
    assert (first.start, second.start) == (60.0, 88.0)
    assert [(one.start, one.text) for one in first.segments] == [(60.0, "Anna calls."), (62.0, "Ben pays.")]
    assert len({one.compression_ratio for one in first.segments}) == 1
    assert (first.segments[0].repeated_share, second.segments[0].repeated_share > 0.9) == (0.0, True)
    assert (first.circles(0.99), second.circles(0.99)) == (False, True)
    assert join_windows([first, second]) == first.segments + second.segments
    assert group_by_window([]) == []


def test_a_message_that_is_played_in_a_loop_does_not_circle_where_the_language_is_sure() -> None:
    (window,) = group_by_window(window_texts(*[" The office is closed until Monday."] * 5))
    assert window.segments[0].compression_ratio > 2.4
    assert not window.circles(0.99)
    assert window.circles(0.5), "whisper is not sure of the language"


@pytest.mark.parametrize(
    ("texts", "before"),
    [
        ((" Anna calls.", " Ben pays the rent.", LAUGHTER, " More."), 2),
        ((LAUGHTER, " Anna calls."), 0),
        ((" Anna calls.", *[" Sorry, what?"] * 20), 1),
        ((" Enter your number.", " Enter your password.", " Enter your name."), 0),
    ],
)
def test_what_comes_before_a_loop_is_told_from_it(texts: tuple[str, ...], before: int) -> None:
    (window,) = group_by_window(window_texts(*texts))
    speech, loop = window.split_at_loop()
    assert [one.text for one in speech] == [text.strip() for text in texts[:before]]
    assert speech + loop == window.segments


@pytest.mark.parametrize(
    ("what", "speech", "lp", "text", "language"),
    [
        ("laughter and speech", True, -0.61, " What have I gotten myself into?", 0.99),
        ("a crowd", False, -0.98, " We don't have to go to the other side.", 0.88),
        ("noise read as numbers", False, -0.50, " 1.5% 2.5%, 2.6%, 2.7%.", 0.28),
        ("another loop", False, -0.3, LAUGHTER, 0.99),
    ],
)
def test_a_second_text_is_taken_if_whisper_is_as_sure_of_it_as_of_speech(
    what: str, speech: bool, lp: float, text: str, language: float
) -> None:
    (window,) = group_by_window([Segment(0, 0.0, 20.0, text, lp, 0.1)])
    assert is_surely_speech(window.segments, language) is speech, what
    assert not is_surely_speech((), language)


def test_a_second_text_is_judged_by_most_of_it() -> None:
    (window,) = group_by_window([Segment(0, 0.0, 20.0, " What have I gotten myself into?", -0.44, 0.1)])
    tail = replace(window.segments[0], start=20.0, end=22.0, log_probability=-0.95)
    assert is_surely_speech((*window.segments, tail), 0.99)
    assert not is_surely_speech((window.segments[0], replace(tail, end=60.0)), 0.99)
