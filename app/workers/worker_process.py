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

_READY = "ready"
_PAUSED, _RUNNING = b"p", b"r"
# multiprocessing looks at all children when it starts one, and hangs where another thread waits for one of them.
_CHILDREN = threading.Lock()


class WorkerDied(Exception):
    """The process ended in the middle of its work."""


class Worker:
    """One such process, as the service sees it. `ready` has to return before anything else is called.

    Starting takes milliseconds, with the first one up to seconds, in which the thread is blocked. Raises OSError.
    """

    def __init__(self, context: ForkServerContext, memory_bytes: int) -> None:
        self.done = 0
        self._paused = False
        self._calls, calls = context.Pipe()
        gate, self._gate = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(calls, gate, memory_bytes), daemon=True)
        try:
            with _CHILDREN:
                self._process.start()
        finally:
            calls.close()
            gate.close()

    @property
    def pid(self) -> int | None:
        """Its process's number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Of a worker without work: whether its process is there. Where it is not, there is an end to read."""
        return not self._calls.poll()

    def ready(self, seconds: float) -> None:
        """Wait, blocking, until it can work. Raises `WorkerDied`."""
        if not self._calls.poll(seconds) or self._receive() != _READY:
            raise WorkerDied

    def fileno(self) -> int:
        """A descriptor that is readable once there is an outcome."""
        return self._calls.fileno()

    def begin(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Start on a piece of work; what is called has to be a module's function."""
        self.done += 1
        with contextlib.suppress(OSError):  # it died: the outcome says so
            self._calls.send((work, arguments))

    def outcome(self) -> tuple[Any, BaseException | None, str]:
        """What the work returned; or what it raised, and where. Raises `WorkerDied`."""
        returned, error, where = self._receive()
        return returned, error, where

    def pause(self) -> None:
        """Stop at the next instruction of Python. Harmless twice."""
        if not self._paused:
            self._paused = True
            self._tell(_PAUSED)
            with contextlib.suppress(OSError):
                os.kill(self._process.pid or 0, signal.SIGUSR1)

    def resume(self) -> None:
        """Go on. Harmless twice."""
        if self._paused:
            self._paused = False
            self._tell(_RUNNING)

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        self._process.kill()

    def bury(self) -> int | None:
        """After `kill`, or where it died: wait, blocking, until it is gone, and return its exit code."""
        with _CHILDREN:
            self._process.join(5)
            code = self._process.exitcode
        self._calls.close()
        self._gate.close()
        return code

    def _tell(self, state: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._gate.fileno(), state)

    def _receive(self) -> Any:
        try:
            return self._calls.recv()
        except Exception as error:  # also where a message broke off, or cannot be unpickled
            raise WorkerDied from error


def _serve(calls: Connection, gate: Connection, memory_bytes: int) -> None:
    """The process: work until the service closes the pipe, or is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # in the watch: a pause is for the thread that works
    threading.Thread(target=_watch, args=(gate.fileno(),), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    _confine(memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl+C is the service's to handle
    signal.signal(signal.SIGUSR1, _waiting_at(gate))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        calls.send(_READY)
        while True:
            work, arguments = calls.recv()
            calls.send_bytes(_outcome(work, arguments))


def _watch(gate: int) -> None:
    """End the process as soon as the service is gone, whatever it is at."""
    poll = select.poll()
    poll.register(gate, 0)  # for the other end's closing alone
    poll.poll()
    os._exit(0)


def _outcome(work: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    outcome: tuple[Any, BaseException | None, str]
    try:
        outcome = work(*arguments), None, ""
    except Exception as error:
        where = traceback.format_exc()
        with contextlib.suppress(Exception):
            return pickle.dumps((None, error, where))
        outcome = None, RuntimeError(str(error)), where  # it cannot be sent as it is
    return pickle.dumps(outcome)


def _waiting_at(gate: Connection) -> Callable[..., None]:
    """A signal handler that returns once the gate's last word is that the process may run.

    Signals that come close together are delivered as one, so not they are counted; the pipe has every word.
    """
    descriptor = gate.fileno()
    os.set_blocking(descriptor, False)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    state = _RUNNING

    def wait(*_: object) -> None:
        nonlocal state
        while True:
            with contextlib.suppress(BlockingIOError):
                words = os.read(descriptor, 4096)
                if not words:
                    os._exit(0)  # the service is gone
                state = words[-1:]
            if state == _RUNNING:
                return
            poll.poll()

    wait.gate = gate  # type: ignore[attr-defined]  # kept open as long as the handler is there
    return wait


def _confine(memory_bytes: int) -> None:
    """Bound the process's memory, and leave no core file with somebody's recording in it."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, in_use + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
