"""Decodes recordings in worker processes, off the event loop, so that a crafted file can end a worker but nothing else.

A fixed number of recordings is decoded at once. The scheduler (`app.workers.fair_scheduler`) decides several times a
second which ones: a long recording is paused for a short one and continues afterwards. Each worker has a memory limit
and is replaced after a number of files. A worker is also ended when its file takes too long or when its request is
cancelled. This module knows nothing about HTTP or engines.
"""

import asyncio
import logging
import os
import signal
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

TIME_SLICE_S = 0.05  # the shortest time that a recording is decoded before it can be paused
# The shortest time where no more recordings may be paused, so that it would have to start again. Most recordings are
# decoded by then.
MIN_UNPAUSED_S = 0.5


@dataclass(eq=False)
class _DecodeTask:
    """One recording that is being decoded or waits for its turn.

    Attributes:
        running_since: When its time was last counted; None while it is paused, waits, or its worker starts.
        slice_began: When it was last started or resumed.
        run_s: Seconds of decoding so far, without the pauses.
        holds_pause_slot: It takes one of the `max_paused` places.
        must_restart: It had to give up its worker, and starts again once there is a place among those that may be
            paused.
        was_killed: Its worker was killed from outside, for example by the kernel that ran out of memory, and it
            started again.
    """

    ticket: SharedFilesTicket
    limits: DecodeLimits
    entry: SchedulerEntry
    outcome: asyncio.Future[DecodedAudio]
    worker: WorkerProcess | None = None
    starting: bool = False
    running_since: float | None = None
    slice_began: float = 0.0
    run_s: float = 0.0
    holds_pause_slot: bool = False
    must_restart: bool = False
    was_killed: bool = False


class DecoderPool:
    """Decodes recordings, `workers` of them at once.

    Args:
        workers: Number of recordings that are decoded at once.
        max_paused: Number of recordings that may be paused half-way, each with its process. If more have to wait, the
            others start again, once each. So there are never more processes than `workers`, `max_paused` and a few
            idle ones. 0 pauses none.
        timeout_s: Seconds that the decoding of one file may take; pauses do not count.
        timeout_setting: Name of the setting that moves `timeout_s`, for the error's message.
        files_per_worker: Number of files after which a worker is replaced, so that a codec's leaks stay small.
        memory_bytes: Address space that a worker may take beyond what it starts with. The file, which is mapped,
            counts; the samples, which go into a file, do not.
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
        """The process IDs of all workers, idle ones included."""
        workers = [*self._worker_pool.idle, *(task.worker for task in self._tasks if task.worker)]
        return [worker.pid for worker in workers if worker.pid]

    async def start(self) -> None:
        """Start the workers and wait until they answer. Calling it again does nothing.

        Raises:
            Unavailable: If a worker does not start (code "decoder_unavailable").
        """
        try:
            await self._worker_pool.start()
        except (OSError, WorkerDied) as error:
            raise Unavailable(f"The audio decoder did not start: {error}.", code="decoder_unavailable") from error

    async def stop(self) -> None:
        """End all workers, whatever they are doing. Calling it again does nothing."""
        for task in list(self._tasks):
            self._end_task(task, _restarting_error())
        await self._worker_pool.stop()

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = ANONYMOUS) -> DecodedAudio:
        """Decode a recording as `app.core.audio.decode.decode` does; cancelling the call ends the work.

        Args:
            recording: A file with a descriptor. It is read from its beginning.
            limits: What the recording may be.
            requester: Who waits for the result, for the order in which recordings are decoded.

        Returns:
            The recording, whose samples lie in a file (`StoredSamples`) that the caller closes.

        Raises:
            ServiceError: As `decode` raises it; also `Unprocessable` with code "decode_timeout", `Unprocessable` with
                code "undecodable_audio" if the worker died of the file, or was killed twice, and `Unavailable` if the
                workers cannot be reached.
        """
        files = SharedFiles(recording)
        try:
            outcome: asyncio.Future[DecodedAudio] = asyncio.get_running_loop().create_future()
            size = os.fstat(recording.fileno()).st_size
            task = _DecodeTask(files.ticket, limits, self._scheduler.add(requester, size), outcome)
            self._tasks.append(task)
            try:
                self._schedule()
                return replace(await outcome, samples=files.take_samples())
            finally:
                self._end_task(task)
        except BaseException:
            files.close()
            raise

    def _schedule(self) -> None:
        """Start or resume the recordings whose turn it is, and pause the others."""
        now = time.monotonic()
        for task in list(self._tasks):
            self._charge_run_time(task, now)
            if task.run_s > self._timeout_s:
                message = f"Decoding took longer than {self._timeout_s:g} s ({self._timeout_setting})."
                self._remove_task(task, Unprocessable(message, code="decode_timeout", param="file"))
        chosen = self._select_running(now)
        for task in self._tasks:
            if task.running_since is not None and task not in chosen:
                self._pause(task)
        for task in chosen:
            if task.worker is None and not task.starting:
                task.holds_pause_slot = task.holds_pause_slot or task.must_restart
                task.starting = True
                self._worker_pool.run_in_background(self._start_task(task))
            elif task.worker is not None and task.running_since is None:
                self._resume(task)
        if self._tick is not None:
            self._tick.cancel()
        self._tick = asyncio.get_running_loop().call_later(TIME_SLICE_S, self._schedule) if self._tasks else None

    def _select_running(self, now: float) -> list[_DecodeTask]:
        """Return the recordings to decode now: first those that cannot be paused yet, then the others in fair order."""
        held = [task for task in self._tasks if task.starting or self._must_keep_running(task, now)]
        waiting = {task.entry: task for task in self._tasks if task not in held}
        free_slots = self._free_pause_slots()
        chosen = held
        for entry in self._scheduler.sorted_entries(waiting):
            if len(chosen) >= self._worker_count:
                break
            task = waiting[entry]
            if task.worker is None and task.must_restart and not task.holds_pause_slot:
                if free_slots <= 0:
                    continue
                free_slots -= 1
            chosen.append(task)
        return chosen

    def _must_keep_running(self, task: _DecodeTask, now: float) -> bool:
        if task.running_since is None:
            return False
        may_be_paused = task.holds_pause_slot or self._free_pause_slots() > 0
        too_short = not self._max_paused or task.run_s < MIN_UNPAUSED_S
        return now - task.slice_began < TIME_SLICE_S or (not may_be_paused and too_short)

    def _free_pause_slots(self) -> int:
        return self._max_paused - sum(task.holds_pause_slot for task in self._tasks)

    def _charge_run_time(self, task: _DecodeTask, now: float) -> None:
        if task.running_since is None:
            return
        spent, task.running_since = now - task.running_since, now
        task.run_s += spent
        self._scheduler.charge(task.entry, spent)

    def _pause(self, task: _DecodeTask) -> None:
        assert task.worker is not None
        if task.holds_pause_slot or self._free_pause_slots() > 0:
            task.holds_pause_slot = True
            task.running_since = None
            task.worker.pause()
            return
        self._dismiss_worker(task)
        task.run_s = 0.0
        task.must_restart = True

    def _resume(self, task: _DecodeTask) -> None:
        assert task.worker is not None
        task.running_since = task.slice_began = time.monotonic()
        task.worker.resume()

    async def _start_task(self, task: _DecodeTask) -> None:
        """Get a worker for the recording, and give it the work."""
        try:
            worker = await self._worker_pool.acquire()
        except (OSError, WorkerDied) as error:
            log.warning("a decoding worker did not start: %s", error)
            task.starting = False
            self._end_task(task, _restarting_error())
            return
        task.starting = False
        if task.outcome.done():  # the request was cancelled meanwhile
            self._worker_pool.release(worker)
            return
        task.worker = worker
        asyncio.get_running_loop().add_reader(worker.fileno(), self._on_worker_readable, task, worker)
        worker.start_task(_decode_in_worker, task.ticket, task.limits)
        self._resume(task)

    def _on_worker_readable(self, task: _DecodeTask, worker: WorkerProcess) -> None:
        """Take the worker's outcome, or note that the worker died."""
        asyncio.get_running_loop().remove_reader(worker.fileno())
        try:
            audio, error, trace = worker.receive_outcome()
        except WorkerDied:
            task.worker, task.running_since = None, None
            task.starting = True  # it keeps its place until it is known what the worker died of
            self._worker_pool.run_in_background(self._handle_death(task, worker))
            return
        task.worker = None
        worker.resume()  # it may have been told to pause after it had finished
        self._worker_pool.release(worker)
        if error is not None and not isinstance(error, ServiceError):
            # The parsers read files from strangers: an unexpected exception is about the file, but is logged for the
            # operator.
            log.error("decoding raised an unexpected exception\n%s", trace)
            error = _gave_up_error()
        if error is not None:
            self._end_task(task, error)
        else:
            if not task.outcome.done():
                task.outcome.set_result(audio)
            self._end_task(task)

    def _end_task(self, task: _DecodeTask, error: BaseException | None = None) -> None:
        """End the work for a recording and let others continue. Calling it again does nothing."""
        if task in self._tasks:
            self._remove_task(task, error)
            self._schedule()

    def _remove_task(self, task: _DecodeTask, error: BaseException | None) -> None:
        self._charge_run_time(task, time.monotonic())
        self._tasks.remove(task)
        self._scheduler.remove(task.entry)
        self._dismiss_worker(task)
        if not task.outcome.done():
            if error is None:
                task.outcome.cancel()
            else:
                task.outcome.set_exception(error)

    def _dismiss_worker(self, task: _DecodeTask) -> None:
        """End the recording's worker, if it has one."""
        worker, task.worker, task.running_since = task.worker, None, None
        if worker is not None:
            asyncio.get_running_loop().remove_reader(worker.fileno())
            self._worker_pool.dismiss(worker)

    async def _handle_death(self, task: _DecodeTask, worker: WorkerProcess) -> None:
        """Decode the recording again, once, if somebody killed its worker; else it was the file."""
        code = await self._worker_pool.join_worker(worker)
        log.warning("a decoding worker died while it decoded a file: exit code %s", code)
        if code == -signal.SIGKILL and not task.was_killed and task in self._tasks:
            task.was_killed, task.run_s = True, 0.0
            await self._start_task(task)
            return
        task.starting = False
        self._end_task(task, _gave_up_error())


def _restarting_error() -> Unavailable:
    return Unavailable("The audio decoder is restarting. Try again.", code="decoder_unavailable", retry_after_s=1)


def _gave_up_error() -> Unprocessable:
    message = "The decoder failed on this file: the file is damaged, or was made to exhaust the decoder."
    return Unprocessable(message, code="undecodable_audio", param="file")


def _decode_in_worker(ticket: SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    """Run in the worker: decode the shared recording into the shared samples file."""
    with translate_disk_full(), open_samples_file(ticket) as file, map_recording(ticket) as recording:
        return decode(recording, limits.for_file_size(len(recording)), file)
