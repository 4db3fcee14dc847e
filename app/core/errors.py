"""Everything the service refuses or fails with, drawn once:

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

The names and the JSON they become (`{"error": {message, type, param, code}}`) are OpenAI's, so existing clients read
them. Every message says what was wrong, which limit it met, and which setting moves the limit. Knows nothing about
HTTP frameworks.
"""

import copyreg
import reprlib
from typing import Any, ClassVar

# An error echoes only so much of what a caller has sent.
MESSAGE_CHARACTERS = 4000
PARAM_CHARACTERS = 200
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100
_short.maxlist = _short.maxdict = _short.maxtuple = _short.maxset = 4
_short.maxlevel = 2


def quote(value: object) -> str:
    """A caller's value as Python writes it, shortened in the middle where it is long."""
    return _short.repr(value)


class ServiceError(Exception):
    """An error a caller can read. `code` is a stable string, `param` names the offending field or None."""

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
        # Decoding raises these in another process, and Exception's own pickling forgets keyword-only arguments.
        return copyreg.__newobj__, (type(self), self.message), self.__dict__  # type: ignore[attr-defined]

    def body(self) -> dict[str, dict[str, str | None]]:
        """The error in OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(ServiceError):
    status, type = 400, "invalid_request_error"


class Unauthorized(ServiceError):
    status, type = 401, "authentication_error"


class Forbidden(ServiceError):
    status, type = 403, "permission_error"


class ModelNotFound(ServiceError):
    status, type = 404, "invalid_request_error"


class NotFound(ServiceError):
    status, type = 404, "invalid_request_error"


class RequestTimeout(ServiceError):
    """The request, or its head, did not arrive in time."""

    status, type = 408, "invalid_request_error"


class Conflict(ServiceError):
    status, type = 409, "invalid_request_error"


class TooLarge(ServiceError):
    status, type = 413, "invalid_request_error"


class UnsupportedAudio(ServiceError):
    status, type = 415, "invalid_request_error"


class Unprocessable(ServiceError):
    status, type = 422, "invalid_request_error"


class HeadersTooLarge(ServiceError):
    status, type = 431, "invalid_request_error"


class TooManyRequests(ServiceError):
    status, type = 429, "rate_limit_error"


class Unavailable(ServiceError):
    status, type = 503, "server_error"


class NotReady(Unavailable):
    """The model is still being loaded: nothing has been tried yet."""


class EngineDead(Unavailable):
    """The engine's process is gone; `/livez` fails from here on, so that a supervisor restarts the service."""


def disk_full_error() -> Unavailable:
    """The refusal where a recording, or its samples, find no room on the disk."""
    return Unavailable(
        "The service has no room on its disk for this recording now. Try again later. The folder is the one that "
        "TMPDIR names.",
        code="disk_full",
        retry_after_s=30,
    )


def _truncate(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def storage_full_error(what: str, settings: str) -> Unavailable:
    """The refusal where what has to outlive the request finds no room. what: that could not be written. settings: that
    say where it lies.
    """
    return Unavailable(
        f"The service has no room left to keep {what}. Try again later. Its place is set by {settings}.",
        code="disk_full",
        retry_after_s=30,
    )
