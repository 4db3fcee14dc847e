"""Speech is detected in several recordings at once, in fair order, in threads that are independent of all others."""

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from app.core.audio.vad import find_speech
from app.core.audio.vad_first_pass import PieceDetection
from app.workers import speech_detector
from app.workers.fair_scheduler import Requester
from app.workers.speech_detector import SpeechDetector
from tests.recordings import speech

NO_SPEECH = PieceDetection([], np.zeros(0, np.float32))


class EmptyRecording:
    """Minutes of a recording without samples."""

    def __init__(self, minutes: int) -> None:
        self.minutes = minutes

    def __len__(self) -> int:
        return self.minutes * 60 * 16_000

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        return np.zeros(0, np.float32)


@pytest_asyncio.fixture
async def detector() -> AsyncIterator[SpeechDetector]:
    detector = SpeechDetector(1)
    yield detector
    detector.close()


async def test_hears_what_the_function_finds(detector: SpeechDetector) -> None:
    clip = np.concatenate([speech(), np.zeros(70 * 16_000, np.float32), speech() * np.float32(0.001)])
    detection = await detector.detect(clip)
    assert detection.spans == find_speech(clip)
    assert len(detection.spans) > len(detection.faint) > 0


@pytest.mark.parametrize("requester", [Requester("long"), Requester("short")])
async def test_a_short_recording_waits_for_one_piece_of_a_long_one_at_most(
    monkeypatch: pytest.MonkeyPatch, detector: SpeechDetector, requester: Requester
) -> None:
    detected: list[EmptyRecording] = []
    gate, reached = threading.Semaphore(0), threading.Semaphore(0)

    def detect_piece(recording: EmptyRecording, start: int) -> PieceDetection:
        reached.release()
        gate.acquire(timeout=5)
        detected.append(recording)
        return NO_SPEECH

    monkeypatch.setattr(speech_detector, "detect_piece", detect_piece)
    long, short = EmptyRecording(240), EmptyRecording(1)
    detection = [asyncio.create_task(detector.detect(long, Requester("long"))) for _ in range(3)]
    for _ in range(10):
        await asyncio.to_thread(reached.acquire)
        gate.release()
    task = asyncio.create_task(detector.detect(short, requester))
    await asyncio.sleep(0)
    before = len(detected)
    gate.release(1000)
    await task
    assert detected[before:].index(short) <= 2
    await asyncio.gather(*detection)
    assert len(detected) == 3 * 240 + 1


async def test_listening_needs_no_thread_that_uploads_are_waiting_for(detector: SpeechDetector) -> None:
    held = threading.Event()
    busy = [asyncio.create_task(asyncio.to_thread(held.wait, 5)) for _ in range(40)]
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(detector.detect(speech()), 4)).spans
    held.set()
    await asyncio.gather(*busy)


async def test_who_leaves_takes_no_more_turns(monkeypatch: pytest.MonkeyPatch, detector: SpeechDetector) -> None:
    detected: list[EmptyRecording] = []
    gate, reached = threading.Event(), threading.Event()

    def detect_piece(recording: EmptyRecording, start: int) -> PieceDetection:
        detected.append(recording)
        reached.set()
        gate.wait(5)
        return NO_SPEECH

    monkeypatch.setattr(speech_detector, "detect_piece", detect_piece)
    left, waiting, short = EmptyRecording(240), EmptyRecording(240), EmptyRecording(1)
    tasks = [asyncio.create_task(detector.detect(one)) for one in (left, waiting)]
    await asyncio.to_thread(reached.wait, 5)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    detection = asyncio.create_task(detector.detect(short))
    await asyncio.sleep(0.01)
    assert len(detected) == 1, "its only thread is still busy"
    gate.set()
    await asyncio.wait_for(detection, 5)
    assert detected[1:] == [short]


async def test_what_fails_is_raised_and_the_thread_is_given_back(
    monkeypatch: pytest.MonkeyPatch, detector: SpeechDetector
) -> None:
    def detect_piece(recording: EmptyRecording, start: int) -> PieceDetection:
        raise EOFError("gone")

    monkeypatch.setattr(speech_detector, "detect_piece", detect_piece)
    with pytest.raises(EOFError):
        await detector.detect(EmptyRecording(3))
    monkeypatch.undo()
    assert (await detector.detect(speech())).spans
