"""All errors that the service answers with:

    ServiceError                    status  type                     raised by
    ├── InvalidRequest              400     invalid_request_error    api, fetch
    ├── Unauthorized                401     authentication_error     api
    ├── Forbidden                   403     permission_error         api
    ├── ModelNotFound               404     invalid_request_error    models, api
    ├── NotFound                    404     invalid_request_error    api
    ├── Conflict                    409     invalid_request_error    models, api
    ├── TooLarge                    413     invalid_request_error    api, fetch, audio
    ├── UnsupportedAudio            415     invalid_request_error    audio
    ├── Unprocessable               422     invalid_request_error    api, fetch, audio, models
    ├── TooManyRequests             429     rate_limit_error         api, keys
    └── Unavailable                 503     server_error             summarize, models, engine
        ├── NotReady                503     server_error             models
        └── EngineDead              503     server_error             models, engine

Types and JSON (`{"error": {message, type, param, code}}`) are those of OpenAI's API, so that existing clients can read
them. Every message says what was wrong, which limit was met, and which setting moves the limit. This module knows
nothing about HTTP frameworks.
"""

import copyreg
import reprlib
from typing import Any, ClassVar

# An error repeats at most this much of what a caller sent.
MESSAGE_CHARACTERS = 4000
PARAM_CHARACTERS = 200
ENGINE_RETRY_SECONDS = 5.0  # when a request whose engine died may be sent again
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100
_short.maxlist = _short.maxdict = _short.maxtuple = _short.maxset = 4
_short.maxlevel = 2


def quote(value: object) -> str:
    """Return the `repr` of a caller's value for an error message, shortened in the middle if it is long."""
    return _short.repr(value)


class ServiceError(Exception):
    """An error that is answered to a caller.

    Attributes:
        message: Full sentences for the caller, at most `MESSAGE_CHARACTERS`.
        code: A stable identifier for programs.
        param: The field of the request that is wrong, or None.
        retry_after_s: Seconds after which the caller may try again, or None.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(
        self, message: str, *, code: str, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        message = _truncate(message, MESSAGE_CHARACTERS)
        param = None if param is None else _truncate(param, PARAM_CHARACTERS)
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        # The decoder raises these in another process, and the pickling of Exception loses keyword-only arguments.
        return copyreg.__newobj__, (type(self), self.message), self.__dict__  # type: ignore[attr-defined]

    def body(self) -> dict[str, dict[str, str | None]]:
        """Return the JSON body of the answer, in the form of OpenAI's API."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(ServiceError):
    """The request itself is wrong, as a field with an invalid value."""

    status, type = 400, "invalid_request_error"


class Unauthorized(ServiceError):
    """The API key is missing or unknown."""

    status, type = 401, "authentication_error"


class Forbidden(ServiceError):
    """The API key does not allow the request."""

    status, type = 403, "permission_error"


class ModelNotFound(ServiceError):
    """The service has no such model."""

    status, type = 404, "invalid_request_error"


class NotFound(ServiceError):
    """The service has no such object, as an unknown job."""

    status, type = 404, "invalid_request_error"


class RequestTimeout(ServiceError):
    """The request, or its header, did not arrive in time."""

    status, type = 408, "invalid_request_error"


class Conflict(ServiceError):
    """The request does not fit the present state, as for a model that is changing."""

    status, type = 409, "invalid_request_error"


class TooLarge(ServiceError):
    """The request or its recording exceeds a limit of size or length."""

    status, type = 413, "invalid_request_error"


class UnsupportedAudio(ServiceError):
    """The recording is in no format that the service reads."""

    status, type = 415, "invalid_request_error"


class Unprocessable(ServiceError):
    """The recording or another part of the request cannot be processed."""

    status, type = 422, "invalid_request_error"


class HeadersTooLarge(ServiceError):
    """The headers of the request exceed their limit."""

    status, type = 431, "invalid_request_error"


class TooManyRequests(ServiceError):
    """The caller, or all callers together, exceed a limit of requests or a quota."""

    status, type = 429, "rate_limit_error"


class Unavailable(ServiceError):
    """The service cannot do this now; a later request may succeed."""

    status, type = 503, "server_error"


class NotReady(Unavailable):
    """The model is still loading."""


class EngineDead(Unavailable):
    """The engine's process has died, and with it the requests inside it. They may be sent again: either the service
    starts the engine again, or `/livez` fails from now on, so that a supervisor restarts the service.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, retry_after_s: float | None = ENGINE_RETRY_SECONDS
    ) -> None:
        super().__init__(message, code=code, param=param, retry_after_s=retry_after_s)


def disk_full_error() -> Unavailable:
    """Return the error for a disk that has no space for a recording or its samples."""
    return Unavailable(
        "The service has no disk space for this recording now. Try again later. The folder is set by TMPDIR.",
        code="disk_full",
        retry_after_s=30,
    )


def _truncate(text: str, max_characters: int) -> str:
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def storage_full_error(what: str, settings: str) -> Unavailable:
    """Return the error for a store that has no space for what has to outlive the request.

    Args:
        what: What could not be written, as the end of "no space left to keep …".
        settings: Names of the settings that say where it is stored.
    """
    return Unavailable(
        f"The service has no space left to keep {what}. Try again later. The place is set by {settings}.",
        code="disk_full",
        retry_after_s=30,
    )
