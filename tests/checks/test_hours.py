"""Ten minutes, an hour, four hours of speech: every fact in it is heard, in the memory that a minute takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.running_service import MODEL
from tests.checks import long_recording
from tests.checks.expectations import read_whole
from tests.checks.service_process import ServiceProcess, running

MORE_BYTES = 300e6
# So little that the notes on hours have to be condensed, level by level, before they fit.
CONTEXT = 720


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service whose engine recognises facts."""
    with running(tmp_path, "--facts", str(long_recording.MOST), "--context", str(CONTEXT)) as service:
        yield service


def notes_at(answer: dict[str, Any], second: float) -> list[str]:
    """What was noted down of the window that holds a second."""
    (one,) = [one for one in answer["windows"] if one["start"] <= second < one["end"]]
    return [word for word in one["note"].split() if long_recording.is_note(word)]


def check(service: ServiceProcess, minutes: int) -> None:
    count = minutes * 60 // long_recording.EVERY_S
    minute = long_recording.recording(1)
    with service.peak() as short:
        for _ in range(3):
            assert service.summarize(minute).json()["complete"] is True
    with service.peak() as long:
        answer = service.summarize(long_recording.recording(minutes)).json()
    told = [word for word in answer["summary"].split() if long_recording.is_note(word)]
    print(
        f"{minutes} min: {len(answer['windows'])} windows, {len(set(told))} of {count} facts in the summary; peak "
        f"{long.tree / 1e6:.0f} MB, of a minute {short.tree / 1e6:.0f} MB (the service's own process "
        f"{long.own / 1e6:.0f} and {short.own / 1e6:.0f}); {answer['timings']}"
    )
    read_whole(answer, minutes, MODEL.max_seconds)
    assert told == [long_recording.note(number) for number in range(count)]
    for number in range(count):
        assert notes_at(answer, long_recording.when(number)) == [long_recording.note(number)]
    assert long.tree - short.tree < MORE_BYTES


def test_ten_minutes_are_read_whole_in_the_memory_of_one(listening: ServiceProcess) -> None:
    check(listening, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minutes", [60, 240])
def test_hours_are_read_whole_in_the_memory_of_a_minute(listening: ServiceProcess, minutes: int) -> None:
    check(listening, minutes)


def test_the_ear_hears_a_fact_and_nothing_else() -> None:
    """What the other tests stand on: a fact half spoken, or another one, is not heard."""
    spoken = long_recording.recordings.speech(long_recording.sentence(1), "espeak")
    assert long_recording.heard(spoken, long_recording.MOST) == [1]
    assert long_recording.heard(spoken[: len(spoken) // 2], long_recording.MOST) == []
    assert long_recording.heard(long_recording.recordings.speech(), long_recording.MOST) == []
