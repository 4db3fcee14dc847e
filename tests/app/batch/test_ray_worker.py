"""The worker of a batch without Ray: the row of each kind of recording, and what it does when its engine dies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from app.batch import ray_worker
from app.batch.attempts import MAX_ATTEMPTS, AttemptCounter
from app.batch.ray_worker import ROW_COLUMN, SummarizeRecordings
from app.batch.rows import WORKER_DIED, Row
from app.batch.summarizer import BatchWork
from app.settings import Settings
from tests.app.batch.scripted_models import POISON_SECONDS, fragile_source
from tests.app.running_service import wav
from tests.recordings import encode_audio, speech, speech_wav

PARALLEL = 3


class RemoteMethod:
    """A method of an actor, as a handle has it."""

    def __init__(self, method: Any) -> None:
        self._method = method

    async def remote(self, *arguments: Any) -> Any:
        return self._method(*arguments)


class CounterHandle:
    """The handle of a counter that is in this process."""

    def __init__(self) -> None:
        counter = AttemptCounter()
        self.begin, self.end = RemoteMethod(counter.begin), RemoteMethod(counter.end)


class WorkerEnded(BaseException):
    """What ends the worker's process, in its place."""


@pytest.fixture(scope="module")
def counter() -> CounterHandle:
    return CounterHandle()


@pytest.fixture(scope="module")
def worker(counter: CounterHandle) -> Iterator[SummarizeRecordings]:
    settings = Settings(model="scripted", log_level="warning", decoder={"workers": 1})  # type: ignore[arg-type]
    work = BatchWork(settings, [("style", "bullets")], PARALLEL, whole_answer=True)
    made = SummarizeRecordings(work, fragile_source(), counter)
    yield made
    made.stop()


def make_rows(worker: SummarizeRecordings, *uris: str) -> dict[str, Row]:
    rows = [json.loads(text) for batch in worker({"uri": np.array(uris)}) for text in batch[ROW_COLUMN]]
    assert sorted(row["uri"] for row in rows) == sorted(uris)
    return {row["uri"].rsplit("/", 1)[-1]: row for row in rows}


def test_each_recording_gets_its_row(worker: SummarizeRecordings, tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(speech_wav())
    (tmp_path / "silence.wav").write_bytes(wav(2.0, 0.0))
    (tmp_path / "notes.txt").write_text("no recording")
    with fsspec.open("memory://calls/far.wav", "wb") as file:
        file.write(speech_wav())
    places = [f"{tmp_path}/{name}" for name in ("call.wav", "silence.wav", "notes.txt", "none.wav")]
    rows = make_rows(worker, *places, "memory://calls/far.wav", "nosuch://calls/a.wav")
    good = rows["call.wav"]
    assert good["summary"] == rows["far.wav"]["summary"] == "A scripted summary of what was said."
    assert (good["model"], good["complete"], good["error_code"]) == ("scripted@1", True, None)
    assert good["audio_seconds"] > good["speech_seconds"] > 1  # type: ignore[operator]
    assert json.loads(good["answer"] or "")["style"]["style"] == "bullets"
    assert (rows["silence.wav"]["summary"], rows["silence.wav"]["finish_reason"]) == ("", "no_speech")
    assert rows["notes.txt"]["error_code"] == "unsupported_audio"
    assert rows["none.wav"]["error_code"] == "recording_unreadable"
    assert rows["a.wav"]["error_code"] == "recording_unreadable"
    assert "nosuch" in (rows["a.wav"]["error"] or "")


def test_a_recording_with_which_workers_died_is_given_up(
    worker: SummarizeRecordings, counter: CounterHandle, tmp_path: Path
) -> None:
    place = tmp_path / "poison.wav"
    place.write_bytes(speech_wav())
    for _ in range(MAX_ATTEMPTS - 1):
        counter.begin._method(str(place))
    assert make_rows(worker, str(place))["poison.wav"]["error_code"] is None  # the last attempt
    for _ in range(MAX_ATTEMPTS):
        counter.begin._method(str(place))
    assert make_rows(worker, str(place))["poison.wav"]["error_code"] == WORKER_DIED


def test_a_worker_whose_engine_dies_ends(
    worker: SummarizeRecordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        raise WorkerEnded

    monkeypatch.setattr(ray_worker.os, "_exit", end)
    long = np.tile(speech(), int(2 + POISON_SECONDS * 16_000 / len(speech())))
    (tmp_path / "poison.wav").write_bytes(encode_audio(long))
    with pytest.raises(WorkerEnded):
        make_rows(worker, str(tmp_path / "poison.wav"))
    assert statuses == [1]
