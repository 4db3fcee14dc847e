"""The heavy checks that want a real model: the default checkpoint, served as `speechsum serve` serves it."""

import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from model_repo import registry
from tests import recordings
from tests.app.raw_http import WAYS, request
from tests.checks import long_recording
from tests.checks.expectations import read_whole
from tests.checks.service_process import ServiceProcess

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3000)]

START_S = 600
TIMES = 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """`speechsum serve` with the default model."""
    service = ServiceProcess(tmp_path_factory.mktemp("served"), "serve", module="app", start_s=START_S)
    yield service
    service.stop()


def longest_window(served: ServiceProcess) -> float:
    audio = served.http.get(f"/v1/models/{registry.best_model().id}").json()["audio"]
    return float(audio["note_seconds"] or audio["max_seconds"])


def metric(served: ServiceProcess, name: str) -> float:
    """A family's value, all its series together."""
    lines = served.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def running(served: ServiceProcess) -> float:
    """What vLLM itself says it is running."""
    return metric(served, "vllm:num_requests_running")


def written(served: ServiceProcess) -> float:
    return metric(served, "vllm:generation_tokens_total")


def leave(served: ServiceProcess, way: str, audio: bytes, reached: Callable[[], bool]) -> float:
    """Send a request, close the connection when the moment has come; the seconds until nothing runs any more."""
    head, body = request(way, audio, registry.best_model().name)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head + body)
        deadline = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline
        assert metric(served, "speechsum_requests_in_progress") == 1
    left = time.monotonic()
    while running(served) or metric(served, "speechsum_requests_in_progress"):
        assert time.monotonic() < left + 30
        time.sleep(0.01)
    return time.monotonic() - left


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", ["prefill", "fifth token"])
def test_who_leaves_frees_vllm_within_a_second(served: ServiceProcess, stage: str, way: str) -> None:
    seconds = []
    for number in range(TIMES):
        # Each a little different, so that vLLM has not read it before.
        samples = np.roll(np.resize(recordings.speech(), 20 * recordings.RATE), 997 * number)
        before = written(served)

        def reached(before: float = before) -> bool:
            return running(served) == 1 if stage == "prefill" else written(served) - before >= 5

        seconds.append(leave(served, way, recordings.sound(samples), reached))
    print(f"{stage}, {way}: free after {np.median(seconds):.3f} s, at most {max(seconds):.3f} s, of {TIMES}")
    assert max(seconds) < 1


def test_ten_minutes_are_read_whole(served: ServiceProcess) -> None:
    count = 600 // long_recording.EVERY_S
    answer = served.summarize(long_recording.recording(10), style="bullets").json()
    noted = [n for n in range(count) if any(long_recording.named_in(n, one["note"]) for one in answer["windows"])]
    told = [n for n in range(count) if long_recording.named_in(n, answer["summary"])]
    print(
        f"{answer['model']}: {len(answer['windows'])} windows; of {count} facts {len(noted)} in the notes, {len(told)} "
        f"in the summary; {answer['timings']}\n{answer['summary']}"
    )
    read_whole(answer, 10, longest_window(served))
