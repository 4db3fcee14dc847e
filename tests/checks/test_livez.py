"""Whoever asks whether the service lives is answered at once, whatever it is at."""

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
from tests.checks.service_process import PATH, ServiceProcess, running

EVERY_S = 0.05
STREAMS = 8
WORDS, WORD_S = 4000, 0.02  # of one stream, until the next


class Probing:
    """`probe.py` at work on a service."""

    def __init__(self, service: ServiceProcess) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("probe.py")), str(service.port), str(EVERY_S)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop(self) -> list[tuple[float, float, int]]:
        """What it has found: time, seconds, status of each probe."""
        told, _ = self._process.communicate("", timeout=30)
        return [(one[0], one[1], one[2]) for one in json.loads(told)]


def percentiles(probes: list[tuple[float, float, int]], since: float, until: float) -> tuple[str, float, int]:
    """In words; the 99th percentile in seconds; how many probes: of those begun between two times."""
    taken = [seconds for began, seconds, _ in probes if since <= began < until]
    if not taken:
        return "none", 0.0, 0
    median, most = np.percentile(taken, (50, 99))
    text = f"p50 {median * 1e3:.1f} ms, p99 {most * 1e3:.1f} ms, longest {max(taken) * 1e3:.1f} ms of {len(taken)}"
    return text, float(most), len(taken)


@contextmanager
def streams(service: ServiceProcess, count: int) -> Iterator[list[int]]:
    """So many clients who stream summaries, one after another, while the block runs; the events each has got."""
    ended, got, begun = threading.Event(), [0] * count, threading.Barrier(count + 1)
    short = recordings.sound(recordings.speech())

    def one(number: int) -> None:
        first = True
        while not ended.is_set():
            fields = {"stream": "true", "max_tokens": str(WORDS)}
            with service.http.stream("POST", PATH, files={"file": short}, data=fields) as response:
                for line in response.iter_lines():
                    got[number] += "audio.summary.delta" in line
                    if first and got[number]:
                        begun.wait(60)
                        first = False
                    if ended.is_set():
                        break

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        begun.wait(60)
        yield got
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def stages_of(service: ServiceProcess, audio: bytes) -> tuple[dict[str, float], float]:
    """Post a recording and stream its summary: when each stage began, by the monotonic clock; when it had ended."""
    begun: dict[str, float] = {"upload": time.monotonic()}
    with service.http.stream(
        "POST", PATH, files={"file": audio}, data={"stream": "true", "max_tokens": "32"}
    ) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith('data: {"') and "audio.summary.progress" in line:
                begun.setdefault(json.loads(line.removeprefix("data: "))["stage"], time.monotonic())
            assert '"error"' not in line, line
    return begun, time.monotonic()


def measure(folder: Path, minutes: int) -> dict[str, tuple[str, float, int]]:
    """Probes of a service alone, and while it reads a long recording and eight others stream; by stage, and those of an
    idle service beside it meanwhile, which has to share the machine's cores.
    """
    audio = long_recording.recording(minutes)
    (folder / "busy").mkdir()
    (folder / "idle").mkdir()
    arguments = "--pieces", str(WORDS), "--piece-seconds", str(WORD_S)
    with ExitStack() as stack:
        settings = {"SPEECHSUM_LONG__NOTE_TOKENS": "32"}
        busy = stack.enter_context(running(folder / "busy", *arguments, **settings))
        idle = stack.enter_context(running(folder / "idle", *arguments))
        alone = Probing(busy)
        time.sleep(220 * EVERY_S if minutes > 60 else 3)
        found = {"alone": percentiles(alone.stop(), 0, float("inf"))}
        with streams(busy, STREAMS) as got:
            probing, beside = Probing(busy), Probing(idle)
            time.sleep(2)
            begun, ended = stages_of(busy, audio)
            probes, others = probing.stop(), beside.stop()
            assert all(got), "every stream goes on"
        assert {status for _, _, status in probes} == {200}
    times = [*sorted(begun.items(), key=lambda one: one[1]), ("end", ended)]
    found["streams only"] = percentiles(probes, 0, begun["upload"])
    for (stage, since), (_, until) in itertools.pairwise(times):
        found[stage] = percentiles(probes, since, until)
    found["all"] = percentiles(probes, begun["upload"], ended)
    found["an idle service beside it"] = percentiles(others, begun["upload"], ended)
    print(f"/livez while {minutes} minutes are read and {STREAMS} stream ({ended - begun['upload']:.0f} s):")
    for name, (text, _, _) in found.items():
        print(f"  {name:26} {text}")
    return found


@pytest.mark.timing
def test_it_is_answered_soon_while_ten_minutes_are_read(tmp_path: Path) -> None:
    found = measure(tmp_path, 10)
    _, most, count = found["all"]
    assert count >= 40
    assert most < 0.25


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_is_answered_within_50_ms_while_four_hours_are_read(tmp_path: Path) -> None:
    found = measure(tmp_path, 240)
    assert found["decode"][2] >= 200
    assert found["decode"][1] < 0.05
    assert found["all"][1] < 0.05
