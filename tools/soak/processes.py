"""The processes of a run: the service under a supervisor, PostgreSQL, and the webhook receiver.

Knows nothing about requests.
"""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

START_SECONDS = 300.0
STOP_SECONDS = 45.0
MARK = "SOAK_RUN"  # an environment variable by which all processes of a run are found


class StartError(Exception):
    """A process of the run did not start."""


class Program:
    """A program that can be started, killed and started again."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, user: str | None = None) -> None:
        self.command, self.environment, self.log, self.user = command, environment, log, user
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process ID; 0 while the program does not run."""
        return self.process.pid if self.process is not None and self.process.returncode is None else 0

    async def start(self) -> None:
        """Start the program."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True, user=self.user
            )

    async def kill(self, *, family: bool = False) -> None:
        """Kill the program, with `family` also its children, and wait until it is gone."""
        if self.process is None:
            return
        members: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            members = psutil.Process(self.process.pid).children(recursive=True) if family else []
        with suppress(ProcessLookupError):
            self.process.kill()
        for one in members:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        await self.process.wait()


class SupervisedService(Program):
    """The service, which is started again whenever it ends. lives: how often it was started."""

    def __init__(self, port: int, environment: dict[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "app", "serve", "--model", "scripted-process", "--log-level", "info"]
        super().__init__(command, environment, log)
        self.address = f"http://127.0.0.1:{port}"
        self.lives = 0
        self._supervisor: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the service and the supervisor."""
        self._supervisor = asyncio.create_task(self._supervise())
        await self.wait_until_ready()

    async def stop(self) -> int:
        """Stop the service in order, and return its exit status."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        if self.process is None:
            return 0
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.process.wait()
        except TimeoutError:
            await self.kill(family=True)
            return -signal.SIGKILL

    async def wait_until_ready(self) -> None:
        """Return when the service says that it is ready. Raises `StartError` if it does not in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False, timeout=5) as client:
                while True:
                    with suppress(httpx.TransportError):
                        if (await client.get(f"{self.address}/readyz")).status_code == 200:
                            return
                    await asyncio.sleep(0.1)
        raise StartError(f"the service was not ready within {START_SECONDS:.0f} s; its log is {self.log}")

    async def _supervise(self) -> None:
        while True:
            self.lives += 1
            await super().start()
            assert self.process is not None
            await self.process.wait()
            await asyncio.sleep(0.2)


class Postgres(Program):
    """A PostgreSQL server of the run's own, on a socket in its folder."""

    def __init__(self, programs: Path, folder: Path, environment: dict[str, str]) -> None:
        self.programs, self.folder = programs, folder
        user = "postgres" if os.getuid() == 0 else None
        command = [
            str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses=",
            "-c", "max_connections=100",
        ]  # fmt: skip
        super().__init__(command, environment, folder / "log", user)
        self.url = f"postgresql://postgres@/postgres?host={folder}"

    async def create(self) -> None:
        """Make the server's files, once."""
        self.folder.mkdir()
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        options = ["-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"]
        process = await asyncio.create_subprocess_exec(
            str(self.programs / "initdb"), *options, user=self.user, stdout=asyncio.subprocess.DEVNULL, cwd=self.folder
        )
        if await process.wait():
            raise StartError("initdb failed")

    async def start(self) -> None:
        """Start the server and wait until it takes connections."""
        await super().start()
        for _ in range(600):
            probe = await asyncio.create_subprocess_exec(
                str(self.programs / "pg_isready"), "-q", "-h", str(self.folder), stdout=asyncio.subprocess.DEVNULL
            )
            if not await probe.wait():
                return
            await asyncio.sleep(0.1)
        raise StartError(f"PostgreSQL did not start; its log is {self.log}")


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs; None if it is not installed."""
    folders = [file.parent for file in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))]
    if found := shutil.which("postgres"):
        folders.append(Path(found).parent)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def find_free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def find_leftovers(run: str) -> list[psutil.Process]:
    """Return the processes that still carry the run's mark, without this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                found.append(process)
    return found
