"""A process that decodes: bounded in memory, replaceable at any moment, and able to be paused half-way.

A pause is asked for by a signal, whose handler waits at a pipe (the gate) until it is told to go on. It is not SIGSTOP,
because a process that is stopped does not notice that the service is gone: here the gate's end tells it, at any time.
Each worker has pipes of its own, so that nothing that happens to one of them reaches another. Knows nothing about HTTP
or engines.
"""

import contextlib
import os
import pickle
import resource
import select
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

_READY_MESSAGE = "ready"
_PAUSED_STATE, _RUNNING_STATE = b"p", b"r"
# multiprocessing looks at all children when it starts one, and hangs where another thread waits for one of them.
_START_LOCK = threading.Lock()


class WorkerDied(Exception):
    """The process ended in the middle of its work."""


class WorkerProcess:
    """One such process, as the service sees it. `ready` has to return before anything else is called.

    Starting takes milliseconds, with the first one up to seconds, in which the thread is blocked. Raises OSError.
    """

    def __init__(self, context: ForkServerContext, memory_bytes: int) -> None:
        self.tasks_started = 0
        self._paused = False
        self._task_pipe, calls = context.Pipe()
        gate, self._pause_pipe = context.Pipe(duplex=False)
        self._process = context.Process(target=_run_worker, args=(calls, gate, memory_bytes), daemon=True)
        try:
            with _START_LOCK:
                self._process.start()
        finally:
            calls.close()
            gate.close()

    @property
    def pid(self) -> int | None:
        """Its process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Of a worker without work: whether its process is there. Where it is not, there is an end to read."""
        return not self._task_pipe.poll()

    def wait_until_ready(self, seconds: float) -> None:
        """Wait, blocking, until it can work. Raises `WorkerDied`."""
        if not self._task_pipe.poll(seconds) or self._receive() != _READY_MESSAGE:
            raise WorkerDied

    def fileno(self) -> int:
        """A descriptor that is readable once there is an outcome."""
        return self._task_pipe.fileno()

    def start_task(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Start on a piece of work; what is called has to be a module's function."""
        self.tasks_started += 1
        with contextlib.suppress(OSError):  # it died: the outcome says so
            self._task_pipe.send((work, arguments))

    def receive_outcome(self) -> tuple[Any, BaseException | None, str]:
        """What the work returned; or what it raised, and where. Raises `WorkerDied`."""
        returned, error, where = self._receive()
        return returned, error, where

    def pause(self) -> None:
        """Stop at the next instruction of Python. Harmless twice."""
        if not self._paused:
            self._paused = True
            self._send_state(_PAUSED_STATE)
            with contextlib.suppress(OSError):
                os.kill(self._process.pid or 0, signal.SIGUSR1)

    def resume(self) -> None:
        """Go on. Harmless twice."""
        if self._paused:
            self._paused = False
            self._send_state(_RUNNING_STATE)

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        self._process.kill()

    def join(self) -> int | None:
        """After `kill`, or where it died: wait, blocking, until it is gone, and return its exit code."""
        with _START_LOCK:
            self._process.join(5)
            code = self._process.exitcode
        self._task_pipe.close()
        self._pause_pipe.close()
        return code

    def _send_state(self, state: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._pause_pipe.fileno(), state)

    def _receive(self) -> Any:
        try:
            return self._task_pipe.recv()
        except Exception as error:  # also where a message broke off, or cannot be unpickled
            raise WorkerDied from error


def _run_worker(calls: Connection, gate: Connection, memory_bytes: int) -> None:
    """The process: work until the service closes the pipe, or is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # in the watch: a pause is for the thread that works
    threading.Thread(target=_exit_with_service, args=(gate.fileno(),), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    _limit_resources(memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl+C is the service's to handle
    signal.signal(signal.SIGUSR1, _pause_handler(gate))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        calls.send(_READY_MESSAGE)
        while True:
            work, arguments = calls.recv()
            calls.send_bytes(_pickled_outcome(work, arguments))


def _exit_with_service(gate: int) -> None:
    """End the process as soon as the service is gone, whatever it is at."""
    poll = select.poll()
    poll.register(gate, 0)  # for the other end's closing alone
    poll.poll()
    os._exit(0)


def _pickled_outcome(work: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    outcome: tuple[Any, BaseException | None, str]
    try:
        outcome = work(*arguments), None, ""
    except Exception as error:
        where = traceback.format_exc()
        with contextlib.suppress(Exception):
            return pickle.dumps((None, error, where))
        outcome = None, RuntimeError(str(error)), where  # it cannot be sent as it is
    return pickle.dumps(outcome)


def _pause_handler(gate: Connection) -> Callable[..., None]:
    """A signal handler that returns once the gate's last word is that the process may run.

    Signals that come close together are delivered as one, so not they are counted; the pipe has every word.
    """
    descriptor = gate.fileno()
    os.set_blocking(descriptor, False)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    state = _RUNNING_STATE

    def wait(*_: object) -> None:
        nonlocal state
        while True:
            with contextlib.suppress(BlockingIOError):
                words = os.read(descriptor, 4096)
                if not words:
                    os._exit(0)  # the service is gone
                state = words[-1:]
            if state == _RUNNING_STATE:
                return
            poll.poll()

    wait.gate = gate  # type: ignore[attr-defined]  # kept open as long as the handler is there
    return wait


def _limit_resources(memory_bytes: int) -> None:
    """Bound the process's memory, and leave no core file with somebody's recording in it."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, in_use + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
