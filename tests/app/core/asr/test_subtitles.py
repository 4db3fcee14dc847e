"""Subtitles are read by players: their times, their order, and text that looks like markup."""

import pytest

from app.core.asr.subtitles import srt_text, vtt_text
from app.core.asr.transcript import TranscriptSegment


def segment(start: float, end: float, text: str) -> TranscriptSegment:
    return TranscriptSegment(start, end, text, -0.3, 1.2, 0.05)


SEGMENTS = [segment(0, 2.5, "Good morning."), segment(3725.0004, 3727.9996, "Ben & Co: 3 < 4\n\n--> all")]


def test_subrip() -> None:
    assert srt_text(SEGMENTS) == (
        "1\n00:00:00,000 --> 00:00:02,500\nGood morning.\n\n2\n01:02:05,000 --> 01:02:08,000\nBen & Co: 3 < 4 -> all\n"
    )


def test_webvtt() -> None:
    assert vtt_text(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nGood morning.\n\n"
        "01:02:05.000 --> 01:02:08.000\nBen &amp; Co: 3 &lt; 4 -&gt; all\n"
    )


@pytest.mark.parametrize(("write", "empty"), [(srt_text, ""), (vtt_text, "WEBVTT\n")])
def test_a_recording_without_words_has_no_cues(write: object, empty: str) -> None:
    assert write([]) == empty  # type: ignore[operator]
