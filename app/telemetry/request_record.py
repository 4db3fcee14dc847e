"""What is known of the request that is being worked on, for the log: its id, who sent it, what became of it.

The record belongs to a context (`contextvars`), which the tasks of a request inherit, so that whatever they log can
name the request. Knows nothing about HTTP or the form of the log.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields


@dataclass
class RequestRecord:
    """One request, or one job that is being processed. Empty values are unknown and are not logged.

    Attributes:
        request_id: The id in the header `x-request-id`.
        job_id: The job, if it is one.
        key: The name of the API key; of a key in the settings the first digits of its digest.
        model: The model, as `name@version`.
        outcome: How the request ended, as in the metric `speechsum_requests_total`.
        error: The code of the error in the answer.
        audio_seconds: Length of the recording, in seconds.
    """

    request_id: str = ""
    job_id: str = ""
    key: str = ""
    model: str = ""
    outcome: str = ""
    error: str = ""
    audio_seconds: float | None = None
    started_at: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def duration_seconds(self) -> float:
        """Seconds since the request began."""
        return time.perf_counter() - self.started_at

    def known_fields(self) -> dict[str, str | float]:
        """Return the values that are known, by their names."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "started_at"}
        return {name: value for name, value in values.items() if value not in ("", None)}


_current: ContextVar[RequestRecord | None] = ContextVar("request_record", default=None)


def current_request() -> RequestRecord | None:
    """Return the record of the request that this task works on; None outside of requests."""
    return _current.get()


@contextmanager
def record_request(record: RequestRecord) -> Iterator[RequestRecord]:
    """Make a record the current one inside the block, also in the tasks that are started there."""
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)


def note_request(**values: str | float) -> None:
    """Set values of the current record, by the names of its attributes. Does nothing outside of requests."""
    record = _current.get()
    if record is not None:
        for name, value in values.items():
            setattr(record, name, value)
