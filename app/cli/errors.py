"""Says in plain words what went wrong and what to do about it, and with which status the program ends.

It is imported only after something has gone wrong, or by commands that talk to a service.
"""

import sys
from typing import TYPE_CHECKING

import typer

from app.cli.exit_statuses import FAILED, NO_SERVICE, NOT_ALLOWED, NOT_ENDED, USAGE_ERROR

if TYPE_CHECKING:
    from speechsum_client import SpeechsumError

# What a message of the service leaves open, by its code.
HINTS = {
    "deadline_exceeded": "`speechsum jobs submit` queues a recording that takes long.",
    "json_too_large": "`speechsum summarize --instructions` asks about a recording of any size.",
    "missing_api_key": "Give a key with --api-key or in SPEECHSUM_API_KEY.",
    "invalid_api_key": "Give another key with --api-key or in SPEECHSUM_API_KEY.",
}


class CommandError(Exception):
    """A command cannot go on. The message is a full sentence. status: the exit status."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


class SettingsError(CommandError):
    """Settings cannot be used. faults: a line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults), USAGE_ERROR)
        self.faults = faults


def report_error(error: Exception) -> int:
    """Print on standard error what went wrong, and return the exit status. Raises what no user can have caused."""
    # Typer's errors about the arguments do not share a public class with those of older versions; they can show
    # themselves.
    show, exit_code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(exit_code, int):
        show()
        return exit_code
    if isinstance(error, typer.Abort):
        print("speechsum: stopped", file=sys.stderr)
        return FAILED
    if isinstance(error, SettingsError):
        print("\n".join(error.faults), file=sys.stderr)
        return error.status
    text, status = describe_error(error)
    print(f"speechsum: {text}", file=sys.stderr)
    return status


def describe_error(error: Exception) -> tuple[str, int]:
    """Return what went wrong, in a sentence or two, and the exit status. Raises the error if it is a fault of the
    program.
    """
    from speechsum_client import SpeechsumError

    from model_repo.parts import PartError
    from model_repo.registry import RegistryError, UnknownModel

    if isinstance(error, CommandError):
        return str(error), error.status
    if isinstance(error, SpeechsumError):
        return _describe_client_error(error)
    if isinstance(error, PartError):
        return str(error), FAILED
    if isinstance(error, UnknownModel | RegistryError | ValueError):  # also ListenError and DatabaseUnusable
        return str(error), USAGE_ERROR
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be read: {error.strerror}.", USAGE_ERROR
    raise error


def _describe_client_error(error: "SpeechsumError") -> tuple[str, int]:
    from speechsum_client import (
        ConnectionFailed,
        Forbidden,
        InvalidAnswer,
        InvalidRequest,
        JobFailed,
        JobNotEnded,
        ServiceError,
        TimedOut,
        Unauthorized,
    )

    if isinstance(error, ServiceError):
        text = " ".join(part for part in (error.message, HINTS.get(error.code, "")) if part)
        if error.retry_after_s is not None:
            text += f" A later try can help: in {error.retry_after_s:.0f} seconds."
        if error.request_id and (error.status or 500) >= 500:
            text += f" The service's log has more under the id {error.request_id}."
        if isinstance(error, Unauthorized | Forbidden):
            return text, NOT_ALLOWED
        return text, USAGE_ERROR if isinstance(error, InvalidRequest) else FAILED
    if isinstance(error, TimedOut):
        return f"The service did not answer in time ({error}). It may be busy; try again.", NO_SERVICE
    if isinstance(error, ConnectionFailed):
        return f"The connection to the service failed ({error}). Is it still running?", NO_SERVICE
    if isinstance(error, InvalidAnswer):
        return f"What answers there is not a speechsum service, or one of another version: {error}", NO_SERVICE
    if isinstance(error, JobFailed):
        return f"The job {error.job.id} has failed: {error.message}", FAILED
    if isinstance(error, JobNotEnded):
        return f"{error} `speechsum jobs wait {error.job.id}` goes on waiting.", NOT_ENDED
    return str(error), FAILED
