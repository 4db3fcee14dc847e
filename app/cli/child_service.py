"""A service that runs for one command: `speechsum serve` in a process of its own, on a free port of the loopback.

Only this command can use it, because its only API key is made here. Its queue and its database are in a temporary
folder, so that it neither takes up the jobs of the configured service nor deletes their recordings. It ends with this
process, however that ends.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from app.cli.errors import CommandError
from app.cli.exit_statuses import USAGE_ERROR
from app.settings import Settings, setting_name

POLL_SECONDS = 0.1
STOP_SECONDS = 20.0
REQUEST_SECONDS = 14_400.0  # nobody else waits for this service, so that a recording may take as long as a job
LOG_LINES = 12  # of a service that could not start, shown as they are
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
SIGNAL_STATUS = 128  # the exit status of a program that a signal has ended, as shells count
DEATH_SIGNAL_OPTION = 1  # PR_SET_PDEATHSIG of prctl(2)
_READY = re.compile(r"curl (http://\S+?:\d+)/v1/audio/summaries")
_LOG_PREFIX = re.compile(r"^\S+ \S+ (?:INFO|WARNING) (\S+): ")
_TOLD = re.compile(r"^(?:Fetching|Building|Loading|Downloading|Waiting for) ")


@dataclass(frozen=True)
class ChildService:
    """A running service. url: its address. api_key: its only key."""

    url: str
    api_key: str


@contextmanager
def run_child_service(
    settings: Settings, model: str | None, on_phase: Callable[[str], None] = lambda text: None
) -> Iterator[ChildService]:
    """Start a service and wait until it can answer; stop it when the block ends. For the main thread, because it
    handles signals.

    Args:
        settings: Those of this process. The service has the same, but for its address, its key and its folder.
        model: The model to serve; that of the settings if None.
        on_phase: Called with a sentence about what the service is doing, whenever that changes.

    Raises:
        CommandError: The service could not start; the message holds its last words.
    """
    folder = Path(tempfile.mkdtemp(prefix="speechsum-"))
    log, key = folder / "service.log", secrets.token_urlsafe(32)
    process: subprocess.Popen[bytes] | None = None
    before = {number: signal.signal(number, _exit_on_signal) for number in ENDING_SIGNALS}
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                serve_command(model),
                env=os.environ | _environment(settings, folder, key),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches this process, which then stops the service in order
                preexec_fn=_end_with_parent,
            )
        yield ChildService(_wait_until_ready(process, log, on_phase), key)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_command(model: str | None) -> list[str]:
    """Return the command that runs the service. A port of 0 takes a free one, which the service prints."""
    # -P, because a folder `app` in the user's present folder would be run instead.
    command = [sys.executable, "-P", "-m", "app", "serve", "--host", "127.0.0.1", "--port", "0", "--log-level", "info"]
    return [*command, "--model", model] if model else command


def _environment(settings: Settings, folder: Path, key: str) -> dict[str, str]:
    own_place = str(Path(__file__).resolve().parents[2])
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (own_place, os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        setting_name("auth", "keys"): key,
        setting_name("jobs", "folder"): str(folder / "jobs"),
        setting_name("jobs", "database"): f"sqlite:///{folder / 'jobs' / 'speechsum.db'}",
        setting_name("jobs", "blobs"): str(folder / "jobs" / "recordings"),
        setting_name("timeouts", "request_seconds"): str(max(REQUEST_SECONDS, settings.timeouts.request_seconds)),
        setting_name("timeouts", "drain_seconds"): "0",  # no load balancer is in front of it
    }


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """End this process so that the service is stopped and its folder removed."""
    raise SystemExit(SIGNAL_STATUS + number)


def _end_with_parent() -> None:
    """Let the kernel stop the service if this process is killed, between fork and exec."""
    import ctypes

    ctypes.CDLL(None).prctl(DEATH_SIGNAL_OPTION, signal.SIGTERM)


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path, on_phase: Callable[[str], None]) -> str:
    phase = ""
    while True:
        status = process.poll()
        text = log.read_text(errors="replace")
        if ready := _READY.search(text):
            return ready[1]
        if status is not None:
            last = "\n".join(line for line in text.splitlines()[-LOG_LINES:] if line.strip())
            raise CommandError(
                f"The model could not be started. The service ended with status {status} and said:\n{last}\n"
                "`speechsum doctor` says what this machine lacks.",
                USAGE_ERROR if status == USAGE_ERROR else 1,
            )
        if (now := _latest_phase(text)) != phase:
            phase = now
            on_phase(phase)
        time.sleep(POLL_SECONDS)


def _latest_phase(text: str) -> str:
    """Return the last line of the log that says for people what is being done; empty if there is none yet."""
    # A progress bar of a download writes over its line.
    lines = (_LOG_PREFIX.sub("", line) for line in re.split(r"[\r\n]+", text))
    return next((line.strip() for line in reversed(list(lines)) if _TOLD.match(line)), "")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
