"""How many requests the service itself can carry: its front end on an engine that costs nothing."""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from benchmarks.encodings import ENCODINGS
from benchmarks.load import run_closed_loop
from benchmarks.process_tree import cpu_seconds
from benchmarks.recordings import speech_of
from benchmarks.report import Cell, Results
from benchmarks.servers import RunningService, service_process
from benchmarks.targets import ServiceTarget

NAME = "ceiling"
THEORY = """
A GPU serves so many requests a second, and the service in front of it must be able to carry more. The scripted engine
writes its words at once, so what is left is the front end: HTTP, the upload, decoding, the search for speech, the
prompt, the events. The figure that says how many cores a deployment needs is the CPU time of a request, of the service
with all of its processes; its inverse is the number of requests a second that one core carries. It is measured as CPU
time, because on the same machine the clients take cores, too. The throughput by the wall clock stands beside it: with
twice as many clients as there are cores, each of which waits for its answer.

vLLM's own front end has no row here. There is no scripted engine for vLLM, and what its API server does with a
recording depends on the model: it computes the model's features, too. `overhead` measures both in front of one engine
instead.
"""
COLUMNS = (
    "recording",
    "kB",
    "CPU ms a request",
    "requests a second and core",
    "audio s a second and core",
    "requests a second, all clients",
)
SETTINGS = {"SPEECHSUM_MODEL": "scripted"}
SHORT_S, CLIP_S, LONG_S = 7.0, 30.0, 600.0
_MP3, _M4A, _OPUS = "mp3, 44.1 kHz stereo", "m4a, 48 kHz stereo", "ogg opus, 48 kHz mono"
# Seconds, format, and requests of a whole run.
RECORDINGS = (
    (SHORT_S, "wav, 16 kHz mono", 400),
    (CLIP_S, "wav, 16 kHz mono", 200),
    (CLIP_S, "flac, 44.1 kHz stereo", 100),
    (CLIP_S, _MP3, 100),
    (CLIP_S, _M4A, 100),
    (CLIP_S, "webm opus, 48 kHz stereo", 100),
    (CLIP_S, _OPUS, 100),
    (LONG_S, "wav, 16 kHz mono", 12),
    (LONG_S, _M4A, 12),
    (LONG_S, _OPUS, 12),
)
QUICK_RECORDINGS = ((4.0, "wav, 16 kHz mono", 8), (4.0, _MP3, 8))


def run(quick: bool) -> Results:
    """Start the service on the scripted engine, and send it recordings of all kinds."""
    clients = 2 * len(os.sched_getaffinity(0))
    rows: list[list[Cell]] = []
    summary: dict[str, Cell] = {"clients": clients}
    with service_process(SETTINGS) as running:
        for seconds, name, count in QUICK_RECORDINGS if quick else RECORDINGS:
            recording = ENCODINGS[name](speech_of(seconds))
            asyncio.run(_send(running, recording, clients, clients))  # warm-up
            with measure_cpu(running.pid) as spent:
                wall_s = asyncio.run(_send(running, recording, count, clients))
            cpu_s = spent() / count
            rows.append(
                [f"{seconds:g} s {name}", len(recording) / 1e3, 1e3 * cpu_s, 1 / cpu_s, seconds / cpu_s, count / wall_s]
            )
            summary[f"{seconds:g}_s_{name.replace(',', '').replace(' ', '_')}_cpu_ms"] = 1e3 * cpu_s
    return Results("Requests that the service carries on the scripted engine", COLUMNS, rows, summary)


@contextmanager
def measure_cpu(pid: int) -> Iterator[Callable[[], float]]:
    """Give a function that returns the CPU seconds which a process and its descendants took within the block."""
    before = after = cpu_seconds(pid)
    yield lambda: after - before
    after = cpu_seconds(pid)


async def _send(running: RunningService, recording: bytes, count: int, clients: int) -> float:
    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as client:
        target = ServiceTarget(client, running.url, 16)
        _, seconds = await run_closed_loop(target.send, itertools.repeat(recording), count, clients)
    return seconds
