"""Decoding off the event loop, in processes that a crafted file may take down without taking anything else along.

So many recordings are decoded at once. Which ones is decided anew several times a second
(`app.workers.fair_scheduler`): a long one is paused for a short one, and goes on afterwards. Each worker has a ceiling
on its memory and is replaced after a number of files; a file that takes too long, or a request that goes away, ends the
worker that is at it. Knows nothing about HTTP or engines.
"""

import asyncio
import logging
import os
import time
from dataclasses import dataclass, replace
from typing import BinaryIO

from app.core.audio.decode import DecodedAudio, decode
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import translate_disk_full
from app.core.errors import ServiceError, Unavailable, Unprocessable
from app.workers.fair_scheduler import ANONYMOUS, FairScheduler, Requester, SchedulerEntry
from app.workers.shared_files import SharedFiles, SharedFilesTicket, map_recording, open_samples_file
from app.workers.worker_pool import WorkerPool
from app.workers.worker_process import WorkerDied, WorkerProcess

log = logging.getLogger(__name__)

TIME_SLICE_S = 0.05  # a recording that is being decoded is not paused before
MIN_UNPAUSED_S = 0.5  # nor before, where no more may be paused; most recordings are decoded by then


@dataclass(eq=False)
class _DecodeTask:
    """One recording on its way. ran_s: seconds that its worker was at it. running_since: None while it is paused, waits
    or its worker starts. keeps: it holds one of the places of those that may be paused. sent_back: it had to give its
    worker up, and begins again once there is such a place.
    """

    ticket: SharedFilesTicket
    limits: DecodeLimits
    claim: SchedulerEntry
    outcome: asyncio.Future[DecodedAudio]
    worker: WorkerProcess | None = None
    starting: bool = False
    running_since: float | None = None
    slice_began: float = 0.0
    run_s: float = 0.0
    holds_pause_slot: bool = False
    must_restart: bool = False


class DecoderPool:
    """Decodes recordings, `workers` of them at once.

    paused: recordings that may be paused half-way at most, each with its process. Where there are more, the rest have
        to begin again, once; so there are never more processes than workers and paused ones, and some idle ones. 0
        pauses none.
    timeout_s: time that decoding one file may take, pauses not counted; timeout_setting is what moves it.
    files_per_worker: after so many a worker is replaced, so that what a codec leaks stays small.
    memory_bytes: address space a worker may take beyond what it starts with; the file itself, which is mapped, is
        part of it, and the samples, which go into a file, are not.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        max_paused: int = 32,
        timeout_s: float = 120.0,
        timeout_setting: str = "SPEECHSUM_AUDIO__DECODE_TIMEOUT_S",
        files_per_worker: int = 64,
        memory_bytes: int = 2 << 30,
    ) -> None:
        self._worker_count = workers
        self._max_paused = max_paused
        self._timeout_s = timeout_s
        self._timeout_setting = timeout_setting
        self._worker_pool = WorkerPool(workers, files_per_worker, memory_bytes)
        self._scheduler = FairScheduler()
        self._tasks: list[_DecodeTask] = []
        self._tick: asyncio.TimerHandle | None = None

    @property
    def pids(self) -> list[int]:
        """The processes that there are, idle ones too."""
        workers = [*self._worker_pool.idle, *(one.worker for one in self._tasks if one.worker)]
        return [worker.pid for worker in workers if worker.pid]

    async def start(self) -> None:
        """Start the workers and wait until they answer. Harmless twice. Raises `Unavailable` if one does not."""
        try:
            await self._worker_pool.start()
        except (OSError, WorkerDied) as error:
            raise Unavailable(f"The audio decoder does not start: {error}.", code="decoder_unavailable") from error

    async def stop(self) -> None:
        """End the workers, whatever they are at. Harmless twice."""
        for one in list(self._tasks):
            self._end_task(one, _restarting_error())
        await self._worker_pool.stop()

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = ANONYMOUS) -> DecodedAudio:
        """As `app.core.audio.decode.decode`, out of a file and into one, of `StoredSamples`. Cancelling ends the work.

        Raises also `Unprocessable` with code "decode_timeout" or, where the worker died of it, "undecodable_audio", and
        `Unavailable` if the workers cannot be reached.
        """
        job = SharedFiles(recording)
        try:
            outcome: asyncio.Future[DecodedAudio] = asyncio.get_running_loop().create_future()
            size = os.fstat(recording.fileno()).st_size
            one = _DecodeTask(job.ticket, limits, self._scheduler.add(requester, size), outcome)
            self._tasks.append(one)
            try:
                self._schedule()
                return replace(await outcome, samples=job.take_samples())
            finally:
                self._end_task(one)
        except BaseException:
            job.close()
            raise

    def _schedule(self) -> None:
        """Let those run whose turn it is, and pause the others."""
        now = time.monotonic()
        for one in list(self._tasks):
            self._charge_run_time(one, now)
            if one.run_s > self._timeout_s:
                message = f"Decoding took longer than {self._timeout_s:g} s ({self._timeout_setting})."
                self._remove_task(one, Unprocessable(message, code="decode_timeout", param="file"))
        chosen = self._select_running(now)
        for one in self._tasks:
            if one.running_since is not None and one not in chosen:
                self._pause(one)
        for one in chosen:
            if one.worker is None and not one.starting:
                one.holds_pause_slot = one.holds_pause_slot or one.must_restart
                one.starting = True
                self._worker_pool.run_in_background(self._start_task(one))
            elif one.worker is not None and one.running_since is None:
                self._resume(one)
        if self._tick is not None:
            self._tick.cancel()
        self._tick = asyncio.get_running_loop().call_later(TIME_SLICE_S, self._schedule) if self._tasks else None

    def _select_running(self, now: float) -> list[_DecodeTask]:
        """Which recordings are to be decoded now: first those that cannot or should not be paused yet."""
        held = [one for one in self._tasks if one.starting or self._must_keep_running(one, now)]
        waiting = {one.claim: one for one in self._tasks if one not in held}
        places = self._free_pause_slots()
        chosen = held
        for claim in self._scheduler.sorted_entries(waiting):
            if len(chosen) >= self._worker_count:
                break
            one = waiting[claim]
            if one.worker is None and one.must_restart and not one.holds_pause_slot:
                if places <= 0:
                    continue
                places -= 1
            chosen.append(one)
        return chosen

    def _must_keep_running(self, one: _DecodeTask, now: float) -> bool:
        if one.running_since is None:
            return False
        may_be_paused = one.holds_pause_slot or self._free_pause_slots() > 0
        too_short = not self._max_paused or one.run_s < MIN_UNPAUSED_S
        return now - one.slice_began < TIME_SLICE_S or (not may_be_paused and too_short)

    def _free_pause_slots(self) -> int:
        return self._max_paused - sum(one.holds_pause_slot for one in self._tasks)

    def _charge_run_time(self, one: _DecodeTask, now: float) -> None:
        if one.running_since is None:
            return
        spent, one.running_since = now - one.running_since, now
        one.run_s += spent
        self._scheduler.charge(one.claim, spent)

    def _pause(self, one: _DecodeTask) -> None:
        assert one.worker is not None
        if one.holds_pause_slot or self._free_pause_slots() > 0:
            one.holds_pause_slot = True
            one.running_since = None
            one.worker.pause()
            return
        self._dismiss_worker(one)
        one.run_s = 0.0
        one.must_restart = True

    def _resume(self, one: _DecodeTask) -> None:
        assert one.worker is not None
        one.running_since = one.slice_began = time.monotonic()
        one.worker.resume()

    async def _start_task(self, one: _DecodeTask) -> None:
        """Give it a worker, and the worker its task."""
        try:
            worker = await self._worker_pool.acquire()
        except (OSError, WorkerDied) as error:
            log.warning("a decoding worker does not start: %s", error)
            one.starting = False
            self._end_task(one, _restarting_error())
            return
        one.starting = False
        if one.outcome.done():  # meanwhile it was given up
            self._worker_pool.release(worker)
            return
        one.worker = worker
        asyncio.get_running_loop().add_reader(worker.fileno(), self._on_worker_readable, one, worker)
        worker.start_task(_decode_in_worker, one.ticket, one.limits)
        self._resume(one)

    def _on_worker_readable(self, one: _DecodeTask, worker: WorkerProcess) -> None:
        """The worker has an outcome, or is gone."""
        asyncio.get_running_loop().remove_reader(worker.fileno())
        try:
            audio, error, where = worker.receive_outcome()
        except WorkerDied:
            one.worker = None
            self._worker_pool.run_in_background(self._report_death(worker))
            self._end_task(one, _gave_up_error())
            return
        one.worker = None
        worker.resume()  # it may have been told to pause when it was done already
        self._worker_pool.release(worker)
        if error is not None and not isinstance(error, ServiceError):
            # The parsers below are fed by strangers: what they raise is about the file, but an operator should see it.
            log.error("decoding failed in an unforeseen way\n%s", where)
            error = _gave_up_error()
        if error is not None:
            self._end_task(one, error)
        else:
            if not one.outcome.done():
                one.outcome.set_result(audio)
            self._end_task(one)

    def _end_task(self, one: _DecodeTask, error: BaseException | None = None) -> None:
        """Nothing more is done for it, and others may go on. Harmless twice."""
        if one in self._tasks:
            self._remove_task(one, error)
            self._schedule()

    def _remove_task(self, one: _DecodeTask, error: BaseException | None) -> None:
        self._charge_run_time(one, time.monotonic())
        self._tasks.remove(one)
        self._scheduler.remove(one.claim)
        self._dismiss_worker(one)
        if not one.outcome.done():
            if error is None:
                one.outcome.cancel()
            else:
                one.outcome.set_exception(error)

    def _dismiss_worker(self, one: _DecodeTask) -> None:
        """End the worker that is at it, if one is."""
        worker, one.worker, one.running_since = one.worker, None, None
        if worker is not None:
            asyncio.get_running_loop().remove_reader(worker.fileno())
            self._worker_pool.dismiss(worker)

    async def _report_death(self, worker: WorkerProcess) -> None:
        log.warning("a decoding worker died of a file: exit code %s", await self._worker_pool.join_worker(worker))


def _restarting_error() -> Unavailable:
    return Unavailable("The audio decoder is restarting; try again.", code="decoder_unavailable", retry_after_s=1)


def _gave_up_error() -> Unprocessable:
    message = "The decoder gave up on this file: it is damaged, or made to exhaust what reads it."
    return Unprocessable(message, code="undecodable_audio", param="file")


def _decode_in_worker(ticket: SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    with translate_disk_full(), open_samples_file(ticket) as file, map_recording(ticket) as recording:
        return decode(recording, limits.for_file_size(len(recording)), file)
