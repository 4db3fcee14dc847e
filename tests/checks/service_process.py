"""Runs `tests.checks.program` (or the real service) in its own process, and measures its resources from outside.

Measured are memory, descriptors and temporary files of the service and of all processes that it has started.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks.process_tree import PeakMemory, list_processes, measure_peak_memory
from tests.deploy.prometheus import free_port

PATH = "/v1/audio/summaries"
SCRIPTED_MODULE = "tests.checks.program"


@dataclass(frozen=True)
class ResourceCount:
    """The resources that a service holds.

    Attributes:
        memory_bytes: Unique set size (USS) of all its processes.
        main_process_bytes: Unique set size of the service's own process.
        descriptors: Open descriptors, with sockets and files without names.
        threads: Threads of all processes.
        temporary_files: Files in its temporary folder.
        processes: Number of processes.
        descriptor_targets: What the descriptors refer to, with "N" for numbers.
    """

    memory_bytes: int
    main_process_bytes: int
    descriptors: int
    threads: int
    temporary_files: int
    processes: int
    descriptor_targets: Counter[str] = field(compare=False)

    def __str__(self) -> str:
        return (
            f"{self.memory_bytes / 1e6:.0f} MB (own process {self.main_process_bytes / 1e6:.0f}), {self.descriptors} "
            f"descriptors, {self.threads} threads, {self.temporary_files} temporary files, {self.processes} processes"
        )


class ServiceProcess:
    """One running service. `http` talks to it."""

    def __init__(
        self, folder: Path, *arguments: str, module: str = SCRIPTED_MODULE, start_s: float = 60, **settings: str
    ):
        self.port = free_port()
        # Not the test's folder: its path is too long for the sockets that multiprocessing creates in it.
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
        self._wait_until_ready(start_s)

    def _wait_until_ready(self, start_s: float) -> None:
        deadline = time.monotonic() + start_s
        while True:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            with suppress(httpx.TransportError):
                if self.http.get("/readyz").status_code == 200:
                    return
            assert time.monotonic() < deadline, f"not ready after {start_s} s: {self.log.read_text()[-4000:]}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End the service and all processes that it has started."""
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
        """Return the service's process, then all that it has started."""
        return list_processes(self.process.pid)

    def count_settled_resources(self) -> ResourceCount:
        """Return its resources once they stay the same for a second: decoders may be ending or starting."""
        deadline = time.monotonic() + 30
        last = self.count_resources()
        while True:
            time.sleep(1)
            now = self.count_resources()
            if now.descriptor_targets == last.descriptor_targets and now.processes == last.processes:
                return now
            more = now.descriptor_targets - last.descriptor_targets
            less = last.descriptor_targets - now.descriptor_targets
            assert time.monotonic() < deadline, f"the resources do not settle: {more}, {less}"
            last = now

    def count_resources(self) -> ResourceCount:
        """Return the resources that it holds now."""
        sizes: list[int] = []
        targets: Counter[str] = Counter()
        threads = 0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # a decoder may be replaced meanwhile
                sizes.append(process.memory_full_info().uss)
                targets.update(_descriptors(process.pid))
                threads += process.num_threads()
        temporary_files = sum(1 for path in self.temporary.rglob("*") if path.is_file())
        return ResourceCount(sum(sizes), sizes[0], targets.total(), threads, temporary_files, len(sizes), targets)

    def measure_peak_memory(self) -> AbstractContextManager[PeakMemory]:
        """Sample the memory while the block runs."""
        return measure_peak_memory(self.process.pid)

    def summarize(self, audio: bytes, **fields: str) -> httpx.Response:
        """Post a recording as a form."""
        return self.http.post(PATH, files={"file": audio}, data=fields)


def _descriptors(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield re.sub(r"\d+", "N", os.readlink(entry))


@contextmanager
def scripted_service(folder: Path, *arguments: str, **settings: str) -> Iterator[ServiceProcess]:
    """Run the scripted service until the block ends.

    Args:
        folder: For its log and jobs.
        arguments: Of `tests.checks.program`.
        settings: Environment variables.
    """
    service = ServiceProcess(folder, *arguments, **settings)
    try:
        yield service
    finally:
        service.stop()
