"""`/livez` is answered at once, whatever the service is doing."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests import recordings
from tests.checks import long_recording
from tests.checks.service_process import PATH, ServiceProcess, scripted_service

PROBE_INTERVAL_S = 0.05
STREAMS = 8
WORDS, WORD_S = 4000, 0.02  # of each stream


class LivezProbe:
    """Runs `probe.py` on a service."""

    def __init__(self, service: ServiceProcess) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("probe.py")), str(service.port), str(PROBE_INTERVAL_S)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop(self) -> list[tuple[float, float, int]]:
        """End the probes and return (start time, seconds, status) of each."""
        output, _ = self._process.communicate("", timeout=30)
        return [(one[0], one[1], one[2]) for one in json.loads(output)]


def percentiles(probes: list[tuple[float, float, int]], since: float, until: float) -> tuple[str, float, int]:
    """Return (text, 99th percentile in seconds, number) of the probes that started between two times."""
    durations = [seconds for began, seconds, _ in probes if since <= began < until]
    if not durations:
        return "none", 0.0, 0
    median, p99 = np.percentile(durations, (50, 99))
    text = (
        f"p50 {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, longest {max(durations) * 1e3:.1f} ms of {len(durations)}"
    )
    return text, float(p99), len(durations)


@contextmanager
def streaming_clients(service: ServiceProcess, count: int) -> Iterator[list[int]]:
    """Let clients stream one summary after another while the block runs. Yields the number of events of each client."""
    ended, event_counts, starts = threading.Event(), [0] * count, threading.Barrier(count + 1)
    short = recordings.encode_audio(recordings.speech())

    def stream_summaries(number: int) -> None:
        first = True
        while not ended.is_set():
            fields = {"stream": "true", "max_tokens": str(WORDS)}
            with service.http.stream("POST", PATH, files={"file": short}, data=fields) as response:
                for line in response.iter_lines():
                    event_counts[number] += "audio.summary.delta" in line
                    if first and event_counts[number]:
                        starts.wait(60)
                        first = False
                    if ended.is_set():
                        break

    threads = [threading.Thread(target=stream_summaries, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        starts.wait(60)
        yield event_counts
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def stage_start_times(service: ServiceProcess, audio: bytes) -> tuple[dict[str, float], float]:
    """Post a recording and stream its summary. Return the start of each stage by the monotonic clock, and the end."""
    starts: dict[str, float] = {"upload": time.monotonic()}
    with service.http.stream(
        "POST", PATH, files={"file": audio}, data={"stream": "true", "max_tokens": "32"}
    ) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith('data: {"') and "audio.summary.progress" in line:
                starts.setdefault(json.loads(line.removeprefix("data: "))["stage"], time.monotonic())
            assert '"error"' not in line, line
    return starts, time.monotonic()


def measure_livez(folder: Path, minutes: int, *, compare: bool) -> dict[str, tuple[str, float, int]]:
    """Probe a service while it reads a long recording and clients stream, by stage.

    compare: also probe it while it is idle, and at the same time an idle service that shares its cores.
    """
    audio = long_recording.recording(minutes)
    (folder / "busy").mkdir()
    (folder / "idle").mkdir()
    found: dict[str, tuple[str, float, int]] = {}
    arguments = "--pieces", str(WORDS), "--piece-seconds", str(WORD_S)
    with ExitStack() as stack:
        settings = {"SPEECHSUM_LONG__NOTE_TOKENS": "32"}
        busy = stack.enter_context(scripted_service(folder / "busy", *arguments, **settings))
        if compare:
            idle = stack.enter_context(scripted_service(folder / "idle", *arguments))
            alone = LivezProbe(busy)
            time.sleep(220 * PROBE_INTERVAL_S)
            found["alone"] = percentiles(alone.stop(), 0, float("inf"))
        with streaming_clients(busy, STREAMS) as event_counts:
            probe = LivezProbe(busy)
            idle_probe = LivezProbe(idle) if compare else None
            time.sleep(2)
            starts, ended = stage_start_times(busy, audio)
            probes = probe.stop()
            idle_probes = idle_probe.stop() if idle_probe else []
            assert all(event_counts), "every stream goes on"
        assert {status for _, _, status in probes} == {200}
    times = [*sorted(starts.items(), key=lambda item: item[1]), ("end", ended)]
    found["streams only"] = percentiles(probes, 0, starts["upload"])
    for (stage, since), (_, until) in itertools.pairwise(times):
        found[stage] = percentiles(probes, since, until)
    found["all"] = percentiles(probes, starts["upload"], ended)
    if compare:
        found["an idle service beside it"] = percentiles(idle_probes, starts["upload"], ended)
    print(f"/livez while {minutes} minutes are read and {STREAMS} stream ({ended - starts['upload']:.0f} s):")
    for name, (text, _, _) in found.items():
        print(f"  {name:26} {text}")
    return found


@pytest.mark.timing
def test_it_is_answered_soon_while_ten_minutes_are_read(tmp_path: Path) -> None:
    found = measure_livez(tmp_path, 10, compare=False)
    _, p99, count = found["all"]
    assert count >= 40
    assert p99 < 0.25


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_is_answered_within_50_ms_while_four_hours_are_read(tmp_path: Path) -> None:
    found = measure_livez(tmp_path, 240, compare=True)
    assert found["decode"][2] >= 200
    assert found["decode"][1] < 0.05
    assert found["all"][1] < 0.05
