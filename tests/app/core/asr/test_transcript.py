"""A transcript joins its segments, and their figures by length."""

import pytest

from app.core.asr.transcript import Transcript, TranscriptSegment, mean_log_probability


def segment(text: str, seconds: float, log_probability: float) -> TranscriptSegment:
    return TranscriptSegment(5.0, 5.0 + seconds, text, log_probability, 1.0, 0.1)


def test_the_text_is_that_of_all_segments_that_have_one() -> None:
    assert Transcript((segment("Anna calls.", 2, -0.2), segment("", 1, -3), segment("Ben pays.", 2, -0.2))).text == (
        "Anna calls. Ben pays."
    )


def test_the_mean_weighs_segments_by_their_length_and_none_weighs_nothing() -> None:
    assert mean_log_probability([segment("a", 9, -0.2), segment("b", 1, -1.2)]) == pytest.approx(-0.3)
    assert mean_log_probability([segment("a", 0, -0.5)]) == pytest.approx(-0.5)
    assert mean_log_probability([]) is None
