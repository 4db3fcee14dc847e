"""The service that the documentation's blocks call: in a process of its own, on the scripted engine, with all that the
pages tell a reader to switch on.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import ROOT

WRITTEN = "127.0.0.1:8000"  # the service's address in the pages
ADMIN = "the-key-of-the-operator"
START_SECONDS = 120
_READY = re.compile(r"curl (http://\S+?:\d+)/v1/audio/summaries")


@dataclass(frozen=True)
class DocsService:
    """A running service. address: host and port. environment: what a reader's shell has."""

    address: str
    environment: dict[str, str]


@contextmanager
def running_service(folder: Path) -> Iterator[DocsService]:
    """Start the service with its state in `folder`; stop it when the block ends."""
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHSUM_")} | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}",
        "XDG_STATE_HOME": str(folder / "state"),
        "ADMIN": ADMIN,
    }
    settings = {
        "SPEECHSUM_AUTH__ADMIN_KEYS": ADMIN,
        "SPEECHSUM_WEBHOOKS__SECRET": "whsec_" + base64.b64encode(bytes(32)).decode(),
        "SPEECHSUM_WEBHOOKS__PRIVATE_HOSTS": "127.0.0.1",
        "SPEECHSUM_JOBS__POLL_SECONDS": "0.1",
        "SPEECHSUM_RECORDINGS__SECONDS": "300",
    }
    log = folder / "service.log"
    command = [sys.executable, "-m", "tests.docs.scripted_cascade", "serve", "--model", "scripted", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment | settings, stdout=output, stderr=output)
    try:
        yield DocsService(_address(process, log), environment)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not (ready := _READY.search(log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return ready[1].removeprefix("http://")
