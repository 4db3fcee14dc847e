"""How soon the service says that it is alive while it decodes as much as it can."""

import asyncio
import itertools
import os
import time

import httpx

from benchmarks.encodings import ENCODINGS
from benchmarks.intervals import percentile
from benchmarks.livez_probe import probe_livez
from benchmarks.load import run_closed_loop
from benchmarks.recordings import speech_of
from benchmarks.report import Cell, Results
from benchmarks.servers import RunningService, service_process
from benchmarks.targets import ServiceTarget

NAME = "livez"
THEORY = """
An orchestrator kills a service that does not answer `/livez` in time. Whatever computes in the event loop, or holds the
interpreter lock beside it, makes that answer late; so decoding is done in other processes and speech detection in a
library that releases the lock. Here the service runs on the scripted engine, so that all of its work is that of the
front end, and twice as many clients as there are cores send it long recordings without a pause. A process of its own
asks for `/livez` fifty times a second, each time on a new connection. The times contain the waiting for a core: the
decoders, the clients and the probe share the machine with the service. Aims: 5 ms at the median, 50 ms at the 99th
percentile.
"""
COLUMNS = ("while the service", "probes", "p50 ms", "p99 ms", "longest ms")
CLIP = "m4a, 48 kHz stereo"
SETTINGS = {"SPEECHSUM_MODEL": "scripted"}


def run(quick: bool) -> Results:
    """Probe a service that is idle, and one that decodes."""
    seconds, per_client, idle_s = (10.0, 2, 0.5) if quick else (600.0, 10, 10.0)
    clients = 2 * len(os.sched_getaffinity(0))
    recording = ENCODINGS[CLIP](speech_of(seconds))
    with service_process(SETTINGS) as running:
        asyncio.run(_load(running, recording, 1, 1))  # warm-up
        with probe_livez(running.port) as idle:
            time.sleep(idle_s)
        with probe_livez(running.port) as busy:
            spent = asyncio.run(_load(running, recording, clients * per_client, clients))
    rows: list[list[Cell]] = [
        [name, len(probes), percentile(probes, 50), percentile(probes, 99), max(probes)]
        for name, probes in (("is idle", idle), (f"decodes for {clients} clients", busy))
    ]
    summary: dict[str, Cell] = {
        "clients": clients,
        "recording_s": seconds,
        "audio_s_per_s": clients * per_client * seconds / spent,
        "p50_ms": percentile(busy, 50),
        "p99_ms": percentile(busy, 99),
    }
    return Results(f"/livez beside {clients * per_client} recordings of {seconds:g} s ({CLIP})", COLUMNS, rows, summary)


async def _load(running: RunningService, recording: bytes, count: int, clients: int) -> float:
    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as client:
        target = ServiceTarget(client, running.url, 16)
        _, seconds = await run_closed_loop(target.send, itertools.repeat(recording), count, clients)
    return seconds
