"""Decoding in processes, as the service does, beside decoding in threads."""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import create_unnamed_file
from app.workers.decoder_pool import DecoderPool
from benchmarks.encodings import ENCODINGS
from benchmarks.intervals import mean_interval, ratio_interval
from benchmarks.recordings import speech_of
from benchmarks.report import Cell, Results

NAME = "decode_pool"
THEORY = """
Codecs release Python's interpreter lock, and what lies between their frames does not, so threads of one process decode
little faster than one of them, however many there are. The service decodes in processes: a crafted file can end one of
them and nothing else, a long recording is paused for a short one, and all cores are used. The price is a process that
has to be asked, and samples that go through a file which both map.

The same clips are decoded by one thread, by as many threads as there are cores, by four times as many, and by the
service's pool with as many processes as there are cores. The ways take turns. Measured are clips a second by the wall
clock, so nothing else may run.
"""
COLUMNS = ("way", "clips a second", "ratio to one thread")
CLIP = "mp3, 44.1 kHz stereo"
LIMITS = DecodeLimits()


def run(quick: bool) -> Results:
    """Measure all ways."""
    repeats, clips, seconds = (2, 4, 5.0) if quick else (5, 40, 30.0)
    return asyncio.run(_measure(ENCODINGS[CLIP](speech_of(seconds)), clips, repeats, seconds))


async def _measure(clip: bytes, clips: int, repeats: int, seconds: float) -> Results:
    cores = len(os.sched_getaffinity(0))
    pool = DecoderPool(cores, files_per_worker=1 << 30)
    await pool.start()
    try:
        ways: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            f"{count} {'thread' if count == 1 else 'threads'}": partial(_decode_in_threads, clip, clips, count)
            for count in dict.fromkeys((1, cores, 4 * cores))
        }
        ways[f"the service's pool, {cores} processes"] = partial(_decode_in_pool, pool, clip, clips)
        rates: dict[str, list[float]] = defaultdict(list)
        for number in range(repeats + 1):
            for name, decode_all in ways.items():
                started_at = time.perf_counter()
                await decode_all()
                if number:  # the first time is a warm-up
                    rates[name].append(clips / (time.perf_counter() - started_at))
    finally:
        await pool.stop()
    rows: list[list[Cell]] = [
        [name, str(mean_interval(rates[name])), str(ratio_interval(rates[name], rates["1 thread"]))] for name in ways
    ]
    best_threads = max(mean_interval(rates[name]).mean for name in list(ways)[:-1])
    in_pool = mean_interval(rates[list(ways)[-1]]).mean
    summary: dict[str, Cell] = {
        "repeats": repeats,
        "cores": cores,
        "recording_s": seconds,
        "pool_clips_per_s": in_pool,
        "threads_clips_per_s": best_threads,
        "pool_to_threads_ratio": in_pool / best_threads,
    }
    return Results(f"{clips} clips of {seconds:g} s ({CLIP}), {repeats} repeats", COLUMNS, rows, summary)


async def _decode_in_threads(clip: bytes, clips: int, threads: int) -> None:
    def decode_clip() -> None:
        with create_unnamed_file() as samples:
            decode(clip, LIMITS, samples)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(threads) as executor:
        await asyncio.gather(*(loop.run_in_executor(executor, decode_clip) for _ in range(clips)))


async def _decode_in_pool(pool: DecoderPool, clip: bytes, clips: int) -> None:
    async def decode_clip() -> None:
        with create_unnamed_file(clip) as recording:
            (await pool.decode(recording, LIMITS)).close()

    await asyncio.gather(*(decode_clip() for _ in range(clips)))
