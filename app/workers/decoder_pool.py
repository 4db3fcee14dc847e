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
from app.core.audio.samples import told_if_full
from app.core.errors import ServiceError, Unavailable, Unprocessable
from app.workers.fair_scheduler import NOBODY, Claim, Requester, Shares
from app.workers.shared_files import Handover, Ticket, room_for_samples, taken_recording
from app.workers.worker_pool import Workers
from app.workers.worker_process import Worker, WorkerDied

log = logging.getLogger(__name__)

SLICE_S = 0.05  # a recording that is being decoded is not paused before
UNPAUSED_S = 0.5  # nor before, where no more may be paused; most recordings are decoded by then


@dataclass(eq=False)
class _Decoding:
    """One recording on its way. ran_s: seconds that its worker was at it. running_since: None while it is paused, waits
    or its worker starts. keeps: it holds one of the places of those that may be paused. sent_back: it had to give its
    worker up, and begins again once there is such a place.
    """

    ticket: Ticket
    limits: DecodeLimits
    claim: Claim
    outcome: asyncio.Future[DecodedAudio]
    worker: Worker | None = None
    starting: bool = False
    running_since: float | None = None
    slice_began: float = 0.0
    ran_s: float = 0.0
    keeps: bool = False
    sent_back: bool = False


class Decoder:
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
        paused: int = 32,
        timeout_s: float = 120.0,
        timeout_setting: str = "SPEECHSUM_AUDIO__DECODE_TIMEOUT_S",
        files_per_worker: int = 64,
        memory_bytes: int = 2 << 30,
    ) -> None:
        self._workers = workers
        self._paused = paused
        self._timeout_s = timeout_s
        self._timeout_setting = timeout_setting
        self._staff = Workers(workers, files_per_worker, memory_bytes)
        self._shares = Shares()
        self._decodings: list[_Decoding] = []
        self._tick: asyncio.TimerHandle | None = None

    @property
    def pids(self) -> list[int]:
        """The processes that there are, idle ones too."""
        workers = [*self._staff.idle, *(one.worker for one in self._decodings if one.worker)]
        return [worker.pid for worker in workers if worker.pid]

    async def start(self) -> None:
        """Start the workers and wait until they answer. Harmless twice. Raises `Unavailable` if one does not."""
        try:
            await self._staff.start()
        except (OSError, WorkerDied) as error:
            raise Unavailable(f"The audio decoder does not start: {error}.", code="decoder_unavailable") from error

    async def stop(self) -> None:
        """End the workers, whatever they are at. Harmless twice."""
        for one in list(self._decodings):
            self._end(one, _restarting())
        await self._staff.stop()

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = NOBODY) -> DecodedAudio:
        """As `app.core.audio.decode.decode`, out of a file and into one, of `StoredSamples`. Cancelling ends the work.

        Raises also `Unprocessable` with code "decode_timeout" or, where the worker died of it, "undecodable_audio", and
        `Unavailable` if the workers cannot be reached.
        """
        job = Handover(recording)
        try:
            outcome: asyncio.Future[DecodedAudio] = asyncio.get_running_loop().create_future()
            size = os.fstat(recording.fileno()).st_size
            one = _Decoding(job.ticket, limits, self._shares.enter(requester, size), outcome)
            self._decodings.append(one)
            try:
                self._balance()
                return replace(await outcome, samples=job.samples())
            finally:
                self._end(one)
        except BaseException:
            job.close()
            raise

    def _balance(self) -> None:
        """Let those run whose turn it is, and pause the others."""
        now = time.monotonic()
        for one in list(self._decodings):
            self._account(one, now)
            if one.ran_s > self._timeout_s:
                message = f"Decoding took longer than {self._timeout_s:g} s ({self._timeout_setting})."
                self._remove(one, Unprocessable(message, code="decode_timeout", param="file"))
        chosen = self._choose(now)
        for one in self._decodings:
            if one.running_since is not None and one not in chosen:
                self._pause(one)
        for one in chosen:
            if one.worker is None and not one.starting:
                one.keeps = one.keeps or one.sent_back
                one.starting = True
                self._staff.run(self._begin(one))
            elif one.worker is not None and one.running_since is None:
                self._resume(one)
        if self._tick is not None:
            self._tick.cancel()
        self._tick = asyncio.get_running_loop().call_later(SLICE_S, self._balance) if self._decodings else None

    def _choose(self, now: float) -> list[_Decoding]:
        """Which recordings are to be decoded now: first those that cannot or should not be paused yet."""
        held = [one for one in self._decodings if one.starting or self._is_held(one, now)]
        waiting = {one.claim: one for one in self._decodings if one not in held}
        places = self._places()
        chosen = held
        for claim in self._shares.in_turn(waiting):
            if len(chosen) >= self._workers:
                break
            one = waiting[claim]
            if one.worker is None and one.sent_back and not one.keeps:
                if places <= 0:
                    continue
                places -= 1
            chosen.append(one)
        return chosen

    def _is_held(self, one: _Decoding, now: float) -> bool:
        if one.running_since is None:
            return False
        may_be_paused = one.keeps or self._places() > 0
        too_short = not self._paused or one.ran_s < UNPAUSED_S
        return now - one.slice_began < SLICE_S or (not may_be_paused and too_short)

    def _places(self) -> int:
        return self._paused - sum(one.keeps for one in self._decodings)

    def _account(self, one: _Decoding, now: float) -> None:
        if one.running_since is None:
            return
        spent, one.running_since = now - one.running_since, now
        one.ran_s += spent
        self._shares.charge(one.claim, spent)

    def _pause(self, one: _Decoding) -> None:
        assert one.worker is not None
        if one.keeps or self._places() > 0:
            one.keeps = True
            one.running_since = None
            one.worker.pause()
            return
        self._take_worker(one)
        one.ran_s = 0.0
        one.sent_back = True

    def _resume(self, one: _Decoding) -> None:
        assert one.worker is not None
        one.running_since = one.slice_began = time.monotonic()
        one.worker.resume()

    async def _begin(self, one: _Decoding) -> None:
        """Give it a worker, and the worker its task."""
        try:
            worker = await self._staff.take()
        except (OSError, WorkerDied) as error:
            log.warning("a decoding worker does not start: %s", error)
            one.starting = False
            self._end(one, _restarting())
            return
        one.starting = False
        if one.outcome.done():  # meanwhile it was given up
            self._staff.put_back(worker)
            return
        one.worker = worker
        asyncio.get_running_loop().add_reader(worker.fileno(), self._finish, one, worker)
        worker.begin(_work, one.ticket, one.limits)
        self._resume(one)

    def _finish(self, one: _Decoding, worker: Worker) -> None:
        """The worker has an outcome, or is gone."""
        asyncio.get_running_loop().remove_reader(worker.fileno())
        try:
            audio, error, where = worker.outcome()
        except WorkerDied:
            one.worker = None
            self._staff.run(self._report_death(worker))
            self._end(one, _gave_up())
            return
        one.worker = None
        worker.resume()  # it may have been told to pause when it was done already
        self._staff.put_back(worker)
        if error is not None and not isinstance(error, ServiceError):
            # The parsers below are fed by strangers: what they raise is about the file, but an operator should see it.
            log.error("decoding failed in an unforeseen way\n%s", where)
            error = _gave_up()
        if error is not None:
            self._end(one, error)
        else:
            if not one.outcome.done():
                one.outcome.set_result(audio)
            self._end(one)

    def _end(self, one: _Decoding, error: BaseException | None = None) -> None:
        """Nothing more is done for it, and others may go on. Harmless twice."""
        if one in self._decodings:
            self._remove(one, error)
            self._balance()

    def _remove(self, one: _Decoding, error: BaseException | None) -> None:
        self._account(one, time.monotonic())
        self._decodings.remove(one)
        self._shares.leave(one.claim)
        self._take_worker(one)
        if not one.outcome.done():
            if error is None:
                one.outcome.cancel()
            else:
                one.outcome.set_exception(error)

    def _take_worker(self, one: _Decoding) -> None:
        """End the worker that is at it, if one is."""
        worker, one.worker, one.running_since = one.worker, None, None
        if worker is not None:
            asyncio.get_running_loop().remove_reader(worker.fileno())
            self._staff.dismiss(worker)

    async def _report_death(self, worker: Worker) -> None:
        log.warning("a decoding worker died of a file: exit code %s", await self._staff.end(worker))


def _restarting() -> Unavailable:
    return Unavailable("The audio decoder is restarting; try again.", code="decoder_unavailable", retry_after_s=1)


def _gave_up() -> Unprocessable:
    message = "The decoder gave up on this file: it is damaged, or made to exhaust what reads it."
    return Unprocessable(message, code="undecodable_audio", param="file")


def _work(ticket: Ticket, limits: DecodeLimits) -> DecodedAudio:
    with told_if_full(), room_for_samples(ticket) as file, taken_recording(ticket) as recording:
        return decode(recording, limits.for_file_of(len(recording)), file)
