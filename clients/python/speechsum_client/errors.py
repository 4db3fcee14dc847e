"""All errors that this package raises, except `TypeError`, `ValueError` and `OSError` for arguments it cannot use:

    SpeechsumError
    ├── ConnectionFailed         no answer came, or only a part of one: refused, cut off, no such host
    │   └── TimedOut             nothing came for as long as a time-out allows
    ├── InvalidAnswer            what came is not what the API promises, such as a page of a proxy
    ├── ServiceError             the service answered with an error; it has status, code, message, param, request_id
    │   ├── InvalidRequest       400  the request makes no sense
    │   ├── Unauthorized         401  the API key is missing or unknown
    │   ├── Forbidden            403  the API key does not permit this
    │   ├── NotFound             404  there is no such model or job
    │   ├── RequestTimeout       408  the upload did not arrive in time
    │   ├── Conflict             409  the request does not fit the present state
    │   ├── TooLarge             413  the recording or the request is too large
    │   ├── UnsupportedAudio     415  this is not a recording
    │   ├── Unprocessable        422  the recording cannot be read
    │   ├── TooManyRequests      429  the caller asks for too much
    │   └── Unavailable          503  the service has no room, or is not ready (502 and 504 are a proxy's)
    ├── JobFailed                `job.wait()`: the job has failed; it has the error's code, message and param
    ├── JobCancelled             `job.wait()`: the job was cancelled
    ├── JobNotEnded              `job.wait(timeout=…)`: the time is over
    ├── SchemaMismatch           a structured answer does not fit the class that it is parsed into
    └── WebhookNotVerified       a webhook was not signed with the secret, or is too old

A status that is not in the tree is a plain `ServiceError`. This module knows nothing about HTTP libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from speechsum_client.answers import ErrorDetail, JobInfo, Summary


class SpeechsumError(Exception):
    """The base of everything that this package raises.

    can_repeat: whether the same request may be sent again and may succeed.
    """

    can_repeat: bool = False


class ConnectionFailed(SpeechsumError):
    """No answer came, or only a part of one."""

    def __init__(self, message: str, *, can_repeat: bool = True) -> None:
        super().__init__(message)
        self.can_repeat = can_repeat


class TimedOut(ConnectionFailed):
    """Nothing came for as long as a time-out allows."""


class InvalidAnswer(SpeechsumError):
    """What came is not what the API promises. status: of the answer; None for an event or a webhook."""

    def __init__(self, message: str, *, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message if request_id is None else f"{message} (request {request_id})")
        self.status = status
        self.request_id = request_id


class ServiceError(SpeechsumError):
    """The service answered with an error.

    Attributes:
        status: The HTTP status. None if the error came as an event of a stream that had begun.
        message: Full sentences that say what is wrong, which limit was met, and which setting moves it.
        code: A stable identifier, such as "undecodable_audio".
        param: The field of the request that is at fault, or None.
        type: OpenAI's class of the error, such as "invalid_request_error".
        request_id: The id under which the service logs the request, or None.
        retry_after_s: Seconds after which a later try can help, or None.
    """

    statuses: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        param: str | None = None,
        type: str = "",
        request_id: str | None = None,
        retry_after_s: float | None = None,
        can_repeat: bool = False,
    ) -> None:
        origin = ", ".join(str(one) for one in (status, code, request_id and f"request {request_id}") if one)
        super().__init__(f"{message} ({origin})")
        self.message = message
        self.code = code
        self.status = status
        self.param = param
        self.type = type
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.can_repeat = can_repeat


class InvalidRequest(ServiceError):
    """The request makes no sense, for example because a field has an invalid value."""

    statuses = (400,)


class Unauthorized(ServiceError):
    """The API key is missing or unknown."""

    statuses = (401,)


class Forbidden(ServiceError):
    """The API key does not permit this."""

    statuses = (403,)


class NotFound(ServiceError):
    """There is no such model or job."""

    statuses = (404,)


class RequestTimeout(ServiceError):
    """The upload did not arrive in time."""

    statuses = (408,)


class Conflict(ServiceError):
    """The request does not fit the present state."""

    statuses = (409,)


class TooLarge(ServiceError):
    """The recording or the request is too large."""

    statuses = (413,)


class UnsupportedAudio(ServiceError):
    """This is not a recording."""

    statuses = (415,)


class Unprocessable(ServiceError):
    """The recording or another part of the request cannot be used."""

    statuses = (422,)


class TooManyRequests(ServiceError):
    """The caller asks for too much, or its quota is used up."""

    statuses = (429,)


class Unavailable(ServiceError):
    """The service has no room, or is not ready."""

    statuses = (502, 503, 504)


class JobFailed(SpeechsumError):
    """A job has failed. job: what the service says about it."""

    def __init__(self, job: JobInfo) -> None:
        self.job = job
        error: ErrorDetail | None = job.error
        self.message = error.message if error else "The job failed."
        self.code = error.code if error else "internal_error"
        self.param = error.param if error else None
        super().__init__(f"{self.message} ({self.code}, job {job.id})")


class JobCancelled(SpeechsumError):
    """A job was cancelled. job: what the service says about it."""

    def __init__(self, job: JobInfo) -> None:
        super().__init__(f"The job {job.id} was cancelled.")
        self.job = job


class JobNotEnded(SpeechsumError):
    """A job has not ended within the time that the caller gave it. It goes on. job: its last known state."""

    def __init__(self, job: JobInfo, timeout: float) -> None:
        super().__init__(f"The job {job.id} has not ended within {timeout:g} s; it is {job.state}.")
        self.job = job


class SchemaMismatch(SpeechsumError):
    """A structured answer does not fit the class that it is parsed into. summary: the whole answer."""

    def __init__(self, message: str, summary: Summary) -> None:
        super().__init__(message)
        self.summary = summary


class WebhookNotVerified(SpeechsumError):
    """A webhook was not signed with the secret, lacks a header, or is too old."""


STATUS_ERRORS: dict[int, type[ServiceError]] = {
    status: kind for kind in ServiceError.__subclasses__() for status in kind.statuses
}
# An error that comes as an event of a stream has no status. Its code, or else its type, says what it is.
STREAM_CODES: dict[str, type[ServiceError]] = {
    "audio_too_long": TooLarge,
    "decode_timeout": Unprocessable,
    "empty_audio": Unprocessable,
    "internal_error": ServiceError,
    "no_audio_track": Unprocessable,
    "non_finite_samples": Unprocessable,
    "undecodable_audio": Unprocessable,
    "unsupported_audio": UnsupportedAudio,
}
STREAM_TYPES: dict[str, type[ServiceError]] = {
    "authentication_error": Unauthorized,
    "invalid_request_error": InvalidRequest,
    "permission_error": Forbidden,
    "rate_limit_error": TooManyRequests,
    "server_error": Unavailable,
}


def service_error(
    detail: ErrorDetail,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after_s: float | None = None,
    can_repeat: bool = False,
) -> ServiceError:
    """Return the error for what the service says about it. status: None for an event of a stream."""
    if status is None:
        kind = STREAM_CODES.get(detail.code) or STREAM_TYPES.get(detail.type, ServiceError)
    else:
        kind = STATUS_ERRORS.get(status, ServiceError)
    facts: dict[str, Any] = {"param": detail.param, "type": detail.type, "request_id": request_id}
    return kind(
        detail.message, code=detail.code, status=status, retry_after_s=retry_after_s, can_repeat=can_repeat, **facts
    )
