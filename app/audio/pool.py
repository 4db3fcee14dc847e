"""Decoding off the event loop, in processes that a crafted file may take down without taking anything else along.

Each worker has a ceiling on its memory and is replaced after a number of files; a file that takes too long, or a
request that goes away, ends the worker that is at it. Knows nothing about HTTP or engines.
"""

import asyncio
import concurrent.futures
import logging
import multiprocessing
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pebble

from app.audio.decode import DecodedAudio, decode
from app.audio.handover import Handover, Ticket, room_for_samples, taken_recording
from app.audio.limits import DecodeLimits
from app.audio.samples import told_if_full
from app.errors import ServiceError, Unavailable, Unprocessable

log = logging.getLogger(__name__)


class Decoder:
    """Decodes recordings in `workers` processes.

    timeout_s: wall-clock time one file may take once a worker is at it; timeout_setting is what moves it.
    files_per_worker: after so many a worker is replaced, so that what a codec leaks stays small.
    memory_bytes: address space a worker may take beyond what it starts with; the file itself, which is mapped, is
        part of it, and the samples, which go into a file, are not.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        timeout_s: float = 120.0,
        timeout_setting: str = "SPEECHSUM_AUDIO__DECODE_TIMEOUT_S",
        files_per_worker: int = 64,
        memory_bytes: int = 2 << 30,
    ) -> None:
        self._workers = workers
        self._timeout_s = timeout_s
        self._timeout_setting = timeout_setting
        self._files_per_worker = files_per_worker
        self._memory_bytes = memory_bytes
        self._pool: pebble.ProcessPool | None = None

    async def start(self) -> None:
        """Start the workers and wait until one answers. Harmless twice. Raises `Unavailable` if none comes up."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._running_pool().schedule(os.getpid)), timeout=60)
        except (TimeoutError, RuntimeError, pebble.ProcessExpired) as error:
            raise Unavailable(f"The audio decoder does not start: {error}.", code="decoder_unavailable") from error

    async def stop(self) -> None:
        """End the workers, whatever they are at. Harmless twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()
            await asyncio.to_thread(pool.join)

    async def decode(self, recording: BinaryIO, limits: DecodeLimits) -> DecodedAudio:
        """As `app.audio.decode.decode`, out of a file and into one, of `StoredSamples`. Cancelling ends the work.

        Raises also `Unprocessable` with code "decode_timeout" or, where the worker died of it, "undecodable_audio", and
        `Unavailable` if the workers cannot be reached.
        """
        job = Handover(recording)
        try:
            future = self._running_pool().schedule(_work, args=(job.ticket, limits), timeout=self._timeout_s)
            return replace(await self._outcome(future), samples=job.samples())
        except BaseException:
            job.close()
            raise

    async def _outcome(self, future: "pebble.ProcessFuture[DecodedAudio]") -> DecodedAudio:
        try:
            return await asyncio.wrap_future(future)
        except ServiceError:
            raise
        except (TimeoutError, concurrent.futures.TimeoutError) as error:
            message = f"Decoding took longer than {self._timeout_s:g} s ({self._timeout_setting})."
            raise Unprocessable(message, code="decode_timeout", param="file") from error
        except pebble.ProcessExpired as error:
            log.warning("a decoding worker died of a file: exit code %s", error.exitcode)
            raise _gave_up() from error
        except concurrent.futures.BrokenExecutor as error:
            raise Unavailable(
                "The audio decoder is restarting; try again.", code="decoder_unavailable", retry_after_s=1
            ) from error
        except Exception as error:
            # The parsers below are fed by strangers: what they raise is about the file, but an operator should see it.
            log.exception("decoding failed in an unforeseen way")
            raise _gave_up() from error

    def _running_pool(self) -> pebble.ProcessPool:
        if self._pool is None or not self._pool.active:
            # A fork server starts workers in milliseconds and, unlike fork, from a process without an engine in it.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
            self._pool = pebble.ProcessPool(
                max_workers=self._workers,
                max_tasks=self._files_per_worker,
                initializer=_confine,
                initargs=(self._memory_bytes,),
                context=context,
            )
        return self._pool


def _gave_up() -> Unprocessable:
    message = "The decoder gave up on this file: it is damaged, or made to exhaust what reads it."
    return Unprocessable(message, code="undecodable_audio", param="file")


def _confine(memory_bytes: int) -> None:
    """In a new worker: bound its memory, and leave no core file with somebody's recording in it."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, in_use + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(ticket: Ticket, limits: DecodeLimits) -> DecodedAudio:
    with told_if_full(), room_for_samples(ticket) as file, taken_recording(ticket) as recording:
        return decode(recording, limits, file)
