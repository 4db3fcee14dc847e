"""Of ten minutes, an hour and four hours of speech, every fact is found, in the memory that a minute takes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.running_service import MODEL
from tests.checks import long_recording
from tests.checks.expectations import assert_read_completely
from tests.checks.service_process import ServiceProcess, scripted_service

MAX_GROWTH_BYTES = 300e6
# So small that the notes on hours have to be condensed, level by level, until they fit.
CONTEXT_TOKENS = 720


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service whose engine recognizes facts."""
    with scripted_service(
        tmp_path, "--facts", str(long_recording.MAX_FACTS), "--context", str(CONTEXT_TOKENS)
    ) as service:
        yield service


def window_notes(answer: dict[str, Any], second: float) -> list[str]:
    """Return the notes on the window that holds a second."""
    (window,) = [one for one in answer["windows"] if one["start"] <= second < one["end"]]
    return [word for word in window["note"].split() if long_recording.is_note(word)]


def check_recording(service: ServiceProcess, minutes: int) -> None:
    count = minutes * 60 // long_recording.FACT_INTERVAL_S
    minute = long_recording.recording(1)
    with service.measure_peak_memory() as short:
        for _ in range(3):
            assert service.summarize(minute).json()["complete"] is True
    with service.measure_peak_memory() as long:
        answer = service.summarize(long_recording.recording(minutes)).json()
    summary_facts = [word for word in answer["summary"].split() if long_recording.is_note(word)]
    print(
        f"{minutes} min: {len(answer['windows'])} windows, {len(set(summary_facts))} of {count} facts in the summary; "
        f"peak {long.tree_bytes / 1e6:.0f} MB, of a minute {short.tree_bytes / 1e6:.0f} MB (the service's own process "
        f"{long.main_process_bytes / 1e6:.0f} and {short.main_process_bytes / 1e6:.0f}); {answer['timings']}"
    )
    assert_read_completely(answer, minutes, MODEL.max_seconds)
    assert summary_facts == [long_recording.note(number) for number in range(count)]
    for number in range(count):
        assert window_notes(answer, long_recording.fact_second(number)) == [long_recording.note(number)]
    assert long.tree_bytes - short.tree_bytes < MAX_GROWTH_BYTES


def test_ten_minutes_are_read_whole_in_the_memory_of_one(service: ServiceProcess) -> None:
    check_recording(service, 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minutes", [60, 240])
def test_hours_are_read_whole_in_the_memory_of_a_minute(service: ServiceProcess, minutes: int) -> None:
    check_recording(service, minutes)


def test_find_facts_finds_a_fact_and_nothing_else() -> None:
    """The other tests depend on this: half a fact, or another one, is not found."""
    spoken = long_recording.recordings.speech(long_recording.sentence(1), "espeak")
    assert long_recording.find_facts(spoken, long_recording.MAX_FACTS) == [1]
    assert long_recording.find_facts(spoken[: len(spoken) // 2], long_recording.MAX_FACTS) == []
    assert long_recording.find_facts(long_recording.recordings.speech(), long_recording.MAX_FACTS) == []
