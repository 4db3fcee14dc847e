"""Injects the faults into the processes of a run, and notes from when to when each lasted.

Knows nothing about requests.
"""

import asyncio
import ctypes
import os
import random
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tools.soak.ledger import FaultWindow
from tools.soak.processes import Postgres, Program, StartError, SupervisedService
from tools.soak.schedule import Fault, FaultKind

CORE_NAME = "speechsum-scripted-core"
FORK_SERVER = "multiprocessing.forkserver"
CLOCK_OFFSETS = ("+0", "+3600", "-3600", "+90", "-90")  # seconds, as libfaketime reads them from a file
SLOW_CONNECTIONS = 24
OUTAGE_SECONDS = 2.0  # how long a database, a receiver or a full disk stays as it is


class Injector:
    """What can be broken in one run. clock: libfaketime's file, if the service runs under it; disk: what is filled."""

    def __init__(
        self,
        service: SupervisedService,
        receiver: Program,
        database: Postgres | None,
        clock: Path | None,
        disk: Path | None,
        now: Callable[[], float],
        seed: int,
    ) -> None:
        self.service, self.receiver, self.database = service, receiver, database
        self.clock, self.disk, self.now = clock, disk, now
        self.draw = random.Random(seed)
        self.windows: list[FaultWindow] = []
        self.failures: list[str] = []
        self._ways: dict[FaultKind, Callable[[], Coroutine[Any, Any, str]]] = {
            FaultKind.SERVICE_KILL: self._kill_service,
            FaultKind.SERVICE_STOP: self._stop_service,
            FaultKind.ENGINE_KILL: self._kill_engine,
            FaultKind.DECODER_KILL: self._kill_decoder,
            FaultKind.RECEIVER_KILL: self._kill_receiver,
            FaultKind.SLOW_CLIENTS: self._connect_slowly,
        }
        if database:
            self._ways[FaultKind.DATABASE_KILL] = self._kill_database
        if clock:
            self._ways[FaultKind.CLOCK_JUMP] = self._jump_clock
        if disk:
            self._ways[FaultKind.DISK_FULL] = self._fill_disk

    @property
    def kinds(self) -> list[FaultKind]:
        """The faults that can be injected here."""
        return [kind for kind in FaultKind if kind in self._ways]

    async def run(self, plan: list[Fault]) -> None:
        """Inject the faults, each at its time or, if one lasts longer, after it."""
        for fault in plan:
            await asyncio.sleep(max(0.0, fault.at_s - self.now()))
            started = self.now()
            try:
                note = await self._ways[fault.kind]()
                await self.service.wait_until_ready()
            except StartError as error:
                note = str(error)
                self.failures.append(f"After the fault {fault.kind} at {started:.1f} s: {error}.")
            self.windows.append(FaultWindow(fault.kind, started, self.now(), note))

    async def _kill_service(self) -> str:
        with suppress(ProcessLookupError):
            os.kill(self.service.pid, signal.SIGKILL)
        return await self._wait_for_next_life()

    async def _stop_service(self) -> str:
        with suppress(ProcessLookupError):
            os.kill(self.service.pid, signal.SIGTERM)
        return await self._wait_for_next_life()

    async def _wait_for_next_life(self) -> str:
        life = self.service.lives
        for _ in range(600):
            if self.service.lives > life:
                return f"life {self.service.lives}"
            await asyncio.sleep(0.1)
        raise StartError("the service did not end")

    async def _kill_engine(self) -> str:
        return self._kill_one([one for one in self._family() if CORE_NAME in _command(one)])

    async def _kill_decoder(self) -> str:
        servers = [one for one in self._family() if FORK_SERVER in _command(one)]
        workers = []
        for server in servers:
            with suppress(psutil.NoSuchProcess):
                workers += server.children()
        return self._kill_one(workers)

    def _kill_one(self, victims: list[psutil.Process]) -> str:
        if not victims:
            return "there was none"
        victim = self.draw.choice(victims)
        with suppress(psutil.NoSuchProcess):
            victim.kill()
        return f"pid {victim.pid}"

    def _family(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.service.pid).children(recursive=True) if self.service.pid else []
        except psutil.NoSuchProcess:
            return []

    async def _kill_database(self) -> str:
        assert self.database is not None
        await self.database.kill(family=True)
        await asyncio.sleep(OUTAGE_SECONDS)
        await self.database.start()
        return ""

    async def _kill_receiver(self) -> str:
        await self.receiver.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        await self.receiver.start()
        return ""

    async def _fill_disk(self) -> str:
        assert self.disk is not None
        filler = self.disk / "filler"
        written = await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(OUTAGE_SECONDS)
        filler.unlink()
        return f"{written >> 20} MiB"

    async def _jump_clock(self) -> str:
        assert self.clock is not None
        present = self.clock.read_text()
        offset = self.draw.choice([one for one in CLOCK_OFFSETS if one != present])
        self.clock.write_text(offset)
        return f"{present} to {offset} s"

    async def _connect_slowly(self) -> str:
        """Open connections that begin a request and never end it."""
        port = int(self.service.address.rsplit(":", 1)[1])
        writers = []
        for _ in range(SLOW_CONNECTIONS):
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writers.append(writer)
        for _ in range(8):
            for writer in writers:
                with suppress(OSError):
                    writer.write(b"POST / HTTP/1.1\r\n" if self.draw.random() < 0.5 else b"x")
            await asyncio.sleep(0.25)
        for writer in writers:
            writer.close()
        return f"{len(writers)} connections"


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _fill(file: Path) -> int:
    """Fill the file's disk and return the number of bytes."""
    written, block = 0, bytes(1 << 20)
    with file.open("wb", buffering=0) as target:
        while True:
            try:
                written += target.write(block)
            except OSError:
                if len(block) == 1:
                    return written
                block = bytes(1)


def mount_small_disk(folder: Path, bytes_: int) -> bool:
    """Mount an empty disk of that size on the folder. Returns False if this process may not."""
    options = f"size={bytes_},mode=0777".encode()
    return not ctypes.CDLL(None, use_errno=True).mount(b"soak", os.fsencode(folder), b"tmpfs", 0, options)


def unmount_disk(folder: Path) -> None:
    """Unmount what `mount_small_disk` mounted, as soon as nobody uses it."""
    lazily = 2  # MNT_DETACH of umount2(2)
    ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(folder), lazily)
