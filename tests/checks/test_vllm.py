"""The checks that need a real model: the default checkpoint, service by `speechsum serve`."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from model_repo import registry
from tests import recordings
from tests.app.raw_http import WAYS, request
from tests.checks import long_recording
from tests.checks.expectations import assert_read_completely
from tests.checks.service_process import ServiceProcess

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3000)]

START_S = 600
TIMES = 8


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """`speechsum serve` with the default model."""
    service = ServiceProcess(tmp_path_factory.mktemp("served"), "serve", module="app", start_s=START_S)
    yield service
    service.stop()


def longest_window(service: ServiceProcess, answer: dict[str, Any]) -> float:
    """Return how many seconds a window may have: as many as a note is written on, or all that one pass reads."""
    audio = service.http.get(f"/v1/models/{registry.best_model().id}").json()["audio"]
    return float(audio["max_seconds"] if len(answer["windows"]) == 1 else audio["note_seconds"] or audio["max_seconds"])


def metric(service: ServiceProcess, name: str) -> float:
    """Return the value of a metric family, summed over its series."""
    lines = service.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def running_requests(service: ServiceProcess) -> float:
    """Return the number of requests that vLLM reports as running."""
    return metric(service, "vllm:num_requests_running")


def generated_tokens(service: ServiceProcess) -> float:
    return metric(service, "vllm:generation_tokens_total")


def seconds_until_free(service: ServiceProcess, way: str, audio: bytes, reached: Callable[[], bool]) -> float:
    """Send a request, close the connection when `reached` holds, and return the seconds until nothing runs."""
    head, body = request(way, audio, registry.best_model().name)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head + body)
        deadline = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline
        assert metric(service, "speechsum_requests_in_progress") == 1
    left = time.monotonic()
    while running_requests(service) or metric(service, "speechsum_requests_in_progress"):
        assert time.monotonic() < left + 30
        time.sleep(0.01)
    return time.monotonic() - left


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", ["prefill", "fifth token"])
def test_who_leaves_frees_vllm_within_a_second(service: ServiceProcess, stage: str, way: str) -> None:
    seconds = []
    for number in range(TIMES):
        # A cascade asks its language model only about words. Each recording begins elsewhere, so that its transcript is
        # not in vLLM's prefix cache.
        samples = np.roll(recordings.librivox_speech(), -number * recordings.RATE)[: 20 * recordings.RATE]
        before = generated_tokens(service)

        def reached(before: float = before) -> bool:
            return running_requests(service) == 1 if stage == "prefill" else generated_tokens(service) - before >= 5

        seconds.append(seconds_until_free(service, way, recordings.encode_audio(samples), reached))
    print(f"{stage}, {way}: free after {np.median(seconds):.3f} s, at most {max(seconds):.3f} s, of {TIMES}")
    assert max(seconds) < 1


def test_ten_minutes_are_read_whole(service: ServiceProcess) -> None:
    count = 600 // long_recording.FACT_INTERVAL_S
    answer = service.summarize(long_recording.recording(10), style="bullets").json()
    notes = [one["note"] for one in answer["windows"] if one["note"]]  # none if the transcript fits into one pass
    in_notes = [n for n in range(count) if any(long_recording.states_fact(n, note) for note in notes)]
    in_summary = [n for n in range(count) if long_recording.states_fact(n, answer["summary"])]
    print(
        f"{answer['model']}: {len(answer['windows'])} windows; of {count} facts {len(in_notes)} in the notes, "
        f"{len(in_summary)} in the summary; {answer['timings']}\n{answer['summary']}"
    )
    assert_read_completely(answer, 10, longest_window(service, answer))
