"""Checks that hold for the answer to a recording of `tests.checks.long_recording`, whichever engine wrote it."""

import itertools
from typing import Any

import pytest

from app.core.audio.windows import Window


def assert_read_completely(answer: dict[str, Any], minutes: int, longest_s: float) -> None:
    """Check that all of the recording was read, in windows that are in order and not too long."""
    assert answer["audio_seconds"] == pytest.approx(minutes * 60, abs=1)
    assert answer["complete"] is True
    windows = [Window(one["start"], one["end"]) for one in answer["windows"]]
    assert [one["index"] for one in answer["windows"]] == list(range(1, len(windows) + 1))
    assert len(windows) >= minutes * 60 * 0.9 / longest_s
    assert all(0 < one.seconds <= longest_s + 1e-3 for one in windows)
    # Between two windows is at most a pause; the longest pause follows a fact.
    assert all(0 <= later.start - sooner.end < 9 for sooner, later in itertools.pairwise(windows))
    assert windows[0].start < 2
    assert windows[-1].end > minutes * 60 - 5
    assert answer["audio"]["summarized_seconds"] >= answer["audio"]["speech_seconds"] > minutes * 60 * 0.8
