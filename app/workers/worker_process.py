"""A worker process with a memory limit, which can be ended at any moment and paused half-way.

A pause is a signal whose handler waits at a pipe (the gate) until the service lets the process continue. It is not
SIGSTOP, because a stopped process does not notice that the service is gone; here the closing of the gate ends it at any
time. Each worker has its own pipes, so that a worker that dies cannot disturb another. This module knows nothing about
HTTP or engines.
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
# multiprocessing looks at all children when it starts one, and hangs if another thread waits for one of them.
_START_LOCK = threading.Lock()


class WorkerDied(Exception):
    """The process ended before it returned an outcome."""


class WorkerProcess:
    """A worker process, as the service sees it. Call `wait_until_ready` before anything else.

    The constructor starts the process and blocks: milliseconds, for the first one up to seconds.

    Args:
        context: The fork server that the process comes from.
        memory_bytes: Address space that the process may take beyond what it starts with.

    Raises:
        OSError: If the process cannot be started.
    """

    def __init__(self, context: ForkServerContext, memory_bytes: int) -> None:
        self.tasks_started = 0
        self._paused = False
        self._task_pipe, task_pipe = context.Pipe()
        gate, self._pause_pipe = context.Pipe(duplex=False)
        self._process = context.Process(target=_run_worker, args=(task_pipe, gate, memory_bytes), daemon=True)
        try:
            with _START_LOCK:
                self._process.start()
        finally:
            task_pipe.close()
            gate.close()

    @property
    def pid(self) -> int | None:
        """The process ID."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process of an idle worker still runs; the pipe of one that ended is readable."""
        return not self._task_pipe.poll()

    def wait_until_ready(self, seconds: float) -> None:
        """Block until the process can work. Raises `WorkerDied` if it is not ready in time."""
        if not self._task_pipe.poll(seconds) or self._receive() != _READY_MESSAGE:
            raise WorkerDied

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when there is an outcome."""
        return self._task_pipe.fileno()

    def start_task(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Send the process a function of a module, with its arguments, to call."""
        self.tasks_started += 1
        with contextlib.suppress(OSError):  # the process died: `receive_outcome` reports it
            self._task_pipe.send((work, arguments))

    def receive_outcome(self) -> tuple[Any, BaseException | None, str]:
        """Return (result, exception or None, traceback) of the work. Raises `WorkerDied` if the process ended."""
        returned, error, trace = self._receive()
        return returned, error, trace

    def pause(self) -> None:
        """Pause the process at its next Python instruction. Calling it again does nothing."""
        if not self._paused:
            self._paused = True
            self._send_state(_PAUSED_STATE)
            with contextlib.suppress(OSError):
                os.kill(self._process.pid or 0, signal.SIGUSR1)

    def resume(self) -> None:
        """Let the process continue. Calling it again does nothing."""
        if self._paused:
            self._paused = False
            self._send_state(_RUNNING_STATE)

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._process.kill()

    def join(self) -> int | None:
        """Block until a process that was killed, or that died, is gone, and return its exit code."""
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
        except Exception as error:  # also if a message is incomplete or cannot be unpickled
            raise WorkerDied from error


def _run_worker(task_pipe: Connection, gate: Connection, memory_bytes: int) -> None:
    """Run the worker: do tasks until the service closes the pipe or is gone."""
    # The watching thread does not take the signal: a pause is for the thread that works.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    threading.Thread(target=_exit_with_service, args=(gate.fileno(),), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    _limit_resources(memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl+C is the service's to handle
    signal.signal(signal.SIGUSR1, _pause_handler(gate))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        task_pipe.send(_READY_MESSAGE)
        while True:
            work, arguments = task_pipe.recv()
            task_pipe.send_bytes(_pickled_outcome(work, arguments))


def _exit_with_service(gate: int) -> None:
    """End the process as soon as the service is gone, whatever it is doing."""
    poll = select.poll()
    poll.register(gate, 0)  # only for the closing of the other end
    poll.poll()
    os._exit(0)


def _pickled_outcome(work: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    outcome: tuple[Any, BaseException | None, str]
    try:
        outcome = work(*arguments), None, ""
    except Exception as error:
        trace = traceback.format_exc()
        with contextlib.suppress(Exception):
            return pickle.dumps((None, error, trace))
        outcome = None, RuntimeError(str(error)), trace  # this exception cannot be pickled
    return pickle.dumps(outcome)


def _pause_handler(gate: Connection) -> Callable[..., None]:
    """Return a signal handler that waits until the last state in the gate is "running".

    Signals that come close together are delivered as one, so they are not counted; the pipe holds every state.
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
                states = os.read(descriptor, 4096)
                if not states:
                    os._exit(0)  # the service is gone
                state = states[-1:]
            if state == _RUNNING_STATE:
                return
            poll.poll()

    wait.gate = gate  # type: ignore[attr-defined]  # keeps the gate open as long as the handler exists
    return wait


def _limit_resources(memory_bytes: int) -> None:
    """Limit the process's memory, and write no core file, which would hold somebody's recording."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, in_use + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
