"""Runs `tests.checks.program` (or the real service) in a process of its own, and looks at it from outside: memory, open
files, temporary files of the service and of everything that it has started.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.deploy.prometheus import free_port

PATH = "/v1/audio/summaries"
SCRIPTED = "tests.checks.program"
SAMPLED_S = 0.1


@dataclass(frozen=True)
class Census:
    """What a service holds now. memory: bytes that its processes have for themselves (USS); own: of the service's own
    process. files: descriptors, sockets and files without names among them. named: files in its temporary folder.
    """

    memory: int
    own: int
    files: int
    threads: int
    named: int
    processes: int
    held: Counter[str] = field(compare=False)  # what the descriptors are, numbers left out

    def __str__(self) -> str:
        return (
            f"{self.memory / 1e6:.0f} MB (own process {self.own / 1e6:.0f}), {self.files} descriptors, {self.threads} "
            f"threads, {self.named} temporary files, {self.processes} processes"
        )


@dataclass
class Peak:
    """The most memory in a block, in bytes: of the whole tree, and of the service's own process."""

    tree: int = 0
    own: int = 0


class ServiceProcess:
    """One running service. `http` talks to it."""

    def __init__(self, folder: Path, *arguments: str, module: str = SCRIPTED, start_s: float = 60, **settings: str):
        self.port = free_port()
        # Not in the test's folder, whose name is longer than the path of a socket may be: the decoder's is in there.
        self._temporary = tempfile.TemporaryDirectory(prefix="checks-")
        self.temporary = Path(self._temporary.name)
        self.log = folder / "log.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHSUM_")}
        environment = {
            **kept,
            "TMPDIR": str(self.temporary),
            "SPEECHSUM_PORT": str(self.port),
            "SPEECHSUM_JOBS__FOLDER": str(folder / "jobs"),
            **settings,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=900, trust_env=False)
        self._until_ready(start_s)

    def _until_ready(self, start_s: float) -> None:
        deadline = time.monotonic() + start_s
        while True:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            with suppress(httpx.TransportError):
                if self.http.get("/readyz").status_code == 200:
                    return
            assert time.monotonic() < deadline, f"not ready after {start_s} s: {self.log.read_text()[-4000:]}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, and whatever it has started."""
        self.http.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._temporary.cleanup()

    def processes(self) -> list[psutil.Process]:
        """The service first, then all it has started."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def settled(self) -> Census:
        """What it holds once that stays the same for a second: a decoder may just be ending, and another beginning."""
        deadline = time.monotonic() + 30
        last = self.census()
        while True:
            time.sleep(1)
            now = self.census()
            if now.held == last.held and now.processes == last.processes:
                return now
            assert time.monotonic() < deadline, f"never settles: {now.held - last.held}, {last.held - now.held}"
            last = now

    def census(self) -> Census:
        """What it holds now."""
        sizes: list[int] = []
        held: Counter[str] = Counter()
        threads = 0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # a decoder that is replaced meanwhile
                sizes.append(process.memory_full_info().uss)
                held.update(_descriptors(process.pid))
                threads += process.num_threads()
        named = sum(1 for path in self.temporary.rglob("*") if path.is_file())
        return Census(sum(sizes), sizes[0], held.total(), threads, named, len(sizes), held)

    @contextmanager
    def peak(self) -> Iterator[Peak]:
        """Samples the memory while the block runs."""
        peak, ended = Peak(), threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLED_S):
                sizes: list[int] = []
                with suppress(psutil.NoSuchProcess):
                    for process in self.processes():
                        with suppress(psutil.NoSuchProcess):
                            sizes.append(process.memory_full_info().uss)
                if sizes:
                    peak.tree, peak.own = max(peak.tree, sum(sizes)), max(peak.own, sizes[0])

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield peak
        finally:
            ended.set()
            sampler.join()

    def summarize(self, audio: bytes, **fields: str) -> httpx.Response:
        """POST a recording as a form."""
        return self.http.post(PATH, files={"file": audio}, data=fields)


def _descriptors(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield re.sub(r"\d+", "N", os.readlink(entry))


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[ServiceProcess]:
    """The scripted service until the block ends. arguments: of `tests.checks.program`. settings: environment."""
    service = ServiceProcess(folder, *arguments, **settings)
    try:
        yield service
    finally:
        service.stop()
