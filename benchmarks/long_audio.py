"""What a recording costs by its length, from a minute to four hours."""

import asyncio
import itertools
import time

import httpx
import numpy as np

from benchmarks.encodings import encode_opus_minutes
from benchmarks.load import run_closed_loop
from benchmarks.process_tree import cpu_seconds, measure_peak_memory
from benchmarks.recordings import speech_of
from benchmarks.report import Cell, Results
from benchmarks.servers import RunningService, service_process
from benchmarks.targets import ServiceTarget

NAME = "long_audio"
THEORY = """
Twice the recording should cost twice as much, and no more memory. Costs that grow with the square of the length do not
show in a minute and are all that matters in four hours; memory that grows is the end of a service that others send
recordings to. The service runs on the scripted engine, so that the cost is that of the front end: the upload, decoding,
the search for speech, the windows, and the prompts of their notes. Each recording is Ogg Opus in which one minute of
speech is repeated.

Measured are the CPU seconds of the service with all of its processes, and their largest unique memory (USS) during the
request. A straight line is fitted to the CPU seconds by least squares of the relative error, so that short recordings
count as much as long ones; the residual is what the line misses. A cost that grew with the square of the length would
leave a residual of tens of percent. Memory is compared with that of the shortest recording.
"""
COLUMNS = ("minutes", "MB", "CPU s", "CPU s an audio hour", "the line misses %", "wall s", "peak MB")
SETTINGS = {"SPEECHSUM_MODEL": "scripted"}
MINUTES, QUICK_MINUTES = (1, 5, 15, 30, 60, 120, 240), (1, 2, 3)


def run(quick: bool) -> Results:
    """Send recordings of growing length, in a whole run those up to an hour three times; the cheapest time counts."""
    lengths, repeats = (QUICK_MINUTES, 1) if quick else (MINUTES, 3)
    minute = speech_of(60.0)
    cpu: list[float] = []
    measured: list[tuple[float, float, float]] = []  # size in MB, wall seconds, peak in MB
    with service_process(SETTINGS) as running:
        asyncio.run(_send(running, encode_opus_minutes(minute, lengths[0])))  # warm-up
        for length in lengths:
            recording = encode_opus_minutes(minute, length)
            costs = []
            with measure_peak_memory(running.pid) as peak:
                for _ in range(repeats if length <= 60 else 1):
                    before, started_at = cpu_seconds(running.pid), time.perf_counter()
                    asyncio.run(_send(running, recording))
                    costs.append((cpu_seconds(running.pid) - before, time.perf_counter() - started_at))
            cpu_s, wall_s = min(costs)
            cpu.append(cpu_s)
            measured.append((len(recording) / 1e6, wall_s, peak.tree_bytes / 1e6))
    fixed_s, hour_s = fit_line(lengths, cpu)
    misses = [100 * (spent / (fixed_s + hour_s * length / 60) - 1) for length, spent in zip(lengths, cpu, strict=True)]
    rows: list[list[Cell]] = [
        [length, size, spent, spent / length * 60, missed, wall_s, peak_mb]
        for length, spent, missed, (size, wall_s, peak_mb) in zip(lengths, cpu, misses, measured, strict=True)
    ]
    peaks = [peak_mb for _, _, peak_mb in measured]
    summary: dict[str, Cell] = {
        "repeats": repeats,
        "fixed_cpu_s": fixed_s,
        "cpu_s_per_audio_hour": hour_s,
        "largest_residual_percent": max(abs(missed) for missed in misses),
        "memory_growth_mb": max(peaks) - peaks[0],
    }
    return Results("One recording at a time, on the scripted engine", COLUMNS, rows, summary)


def fit_line(minutes: tuple[int, ...], cpu_s: list[float]) -> tuple[float, float]:
    """Return (seconds for any recording, seconds for an hour) of the line that misses least, relative to each cost."""
    hours, costs = np.array(minutes) / 60, np.array(cpu_s)
    terms = np.stack([np.ones_like(hours), hours], axis=1) / costs[:, None]
    found, *_ = np.linalg.lstsq(terms, np.ones_like(costs), rcond=None)
    return float(found[0]), float(found[1])


async def _send(running: RunningService, recording: bytes) -> None:
    async with httpx.AsyncClient(timeout=1800) as client:
        target = ServiceTarget(client, running.url, 64)
        await run_closed_loop(target.send, itertools.repeat(recording), 1, 1)
