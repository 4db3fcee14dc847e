"""The Prometheus metrics of the service, with the prefix `speechsum_`, in the default registry beside vLLM's own.

`RequestMetrics` follows one request from its first byte to its last and counts it exactly once. Knows nothing about
HTTP, audio or engines.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from prometheus_client import Counter, Gauge, Histogram

from app.core.errors import ServiceError

Outcome = Literal["ok", "no_speech", "not_understood", "refused", "failed", "aborted"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "no_speech", "not_understood", "refused", "failed", "aborted")

# Buckets of all histograms: processing times, lengths of recordings, and audio seconds per second of processing.
SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
AUDIO_SECONDS_BUCKETS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400)
RTFX_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

REQUESTS = Counter(
    "speechsum_requests",
    "Requests for a summary, by outcome. The label model is empty if the request ended before it had a model.",
    ["outcome", "kind", "model"],
)
ERRORS = Counter("speechsum_errors", "Requests that were refused or failed, by error code.", ["code"])
# The label model is `name@version`, so that two versions that share the requests can be compared.
REQUEST_DURATION = Histogram(
    "speechsum_request_duration_seconds",
    "Time from a request's first byte to its response's last byte. The label model is empty if the request ended "
    "before it had a model.",
    ["kind", "model"],
    buckets=SECONDS_BUCKETS,
)
STAGE_DURATION = Histogram(
    "speechsum_stage_duration_seconds",
    "Time that a request spent in a stage.",
    ["stage", "model"],
    buckets=SECONDS_BUCKETS,
)
TIME_TO_FIRST_TOKEN = Histogram(
    "speechsum_time_to_first_token_seconds",
    "Time from a request's first byte to its response's first text.",
    ["kind", "model"],
    buckets=SECONDS_BUCKETS,
)
QUEUE_DURATION = Histogram(
    "speechsum_queue_duration_seconds",
    "Time that an answer waited for a place in the engine. A request may take several answers.",
    ["model"],
    buckets=SECONDS_BUCKETS,
)
# The three histograms by their earlier names, without the model. They are still filled, for one more release.
REQUEST_SECONDS = Histogram(
    "speechsum_request_seconds",
    "Deprecated, use speechsum_request_duration_seconds. Time from a request's first byte to its response's last byte.",
    ["kind"],
    buckets=SECONDS_BUCKETS,
)
STAGE_SECONDS = Histogram(
    "speechsum_stage_seconds",
    "Deprecated, use speechsum_stage_duration_seconds. Time that a request spent in a stage.",
    ["stage"],
    buckets=SECONDS_BUCKETS,
)
FIRST_TOKEN_SECONDS = Histogram(
    "speechsum_first_token_seconds",
    "Deprecated, use speechsum_time_to_first_token_seconds. Time from a request's first byte to its response's first "
    "text.",
    ["kind"],
    buckets=SECONDS_BUCKETS,
)
AUDIO_SECONDS_RECEIVED = Counter("speechsum_audio_seconds", "Seconds of audio received and decoded.")
AUDIO_DURATION = Histogram(
    "speechsum_audio_duration_seconds", "Length of the recordings received.", buckets=AUDIO_SECONDS_BUCKETS
)
RTFX_RATIO = Histogram("speechsum_rtfx", "Audio seconds per second of processing.", ["kind"], buckets=RTFX_BUCKETS)
OUTPUT_TOKENS = Counter("speechsum_output_tokens", "Tokens generated.", ["kind"])
PROMPT_TOKENS = Counter("speechsum_prompt_tokens", "Tokens of prompts, audio tokens included.", ["kind"])
IN_PROGRESS = Gauge("speechsum_requests_in_progress", "Requests between their first byte and their last.")
QUEUE_WAITING = Gauge("speechsum_queue_waiting", "Requests waiting for the engine.")
QUEUED_AUDIO = Gauge("speechsum_queued_audio_seconds", "Seconds of audio of the requests inside the service.")
ABORTS = Counter("speechsum_aborts", "Requests whose client left before the response was complete.")
ENGINE_RESTARTS = Counter(
    "speechsum_engine_restarts", "Attempts to start an engine again whose process died.", ["model", "outcome"]
)
NO_SPEECH = Counter("speechsum_no_speech", "Recordings in which no speech was found.")
NOT_UNDERSTOOD = Counter(
    "speechsum_not_understood", "Recordings whose speech a cascade's recognizer could not understand."
)
RECORDINGS = Gauge("speechsum_recordings", "Recordings that are kept for further requests.")
RECORDINGS_BYTES = Gauge(
    "speechsum_recordings_bytes", "Bytes that the kept recordings take, in memory and on the disk."
)
RECORDINGS_DROPPED = Counter(
    "speechsum_recordings_dropped",
    "Recordings that are no longer kept, by reason: expired, deleted, displaced by newer ones, or stopped with the "
    "service.",
    ["reason"],
)
for _reason in ("expired", "deleted", "displaced", "stopped"):  # a zero each, so that rates exist from the start
    RECORDINGS_DROPPED.labels(_reason)
RECORDINGS_REUSED = Counter("speechsum_recordings_reused", "Requests and jobs that read a kept recording.")
QUESTIONS = Counter("speechsum_questions", "Questions that were answered beside a summary.")
READY = Gauge("speechsum_ready", "1 if the first test recording was summarized and the engine is alive, else 0.")
DRAINING = Gauge("speechsum_draining", "1 from the signal to stop until the process ends, else 0.")
REMOTE_UP = Gauge(
    "speechsum_remote_up",
    "1 while a vLLM server is healthy and gets requests for the model, else 0.",
    ["server", "model"],
)
REMOTE_QUEUED_AUDIO = Gauge(
    "speechsum_remote_queued_audio_seconds",
    "Seconds of audio that a vLLM server has received for the model and not answered yet.",
    ["server", "model"],
)
MODEL_INFO = Gauge("speechsum_model_info", "The models of the service; always 1.", ["name", "version", "kind"])
MODEL_STATE = Gauge("speechsum_model_state", "1 for the state that the model is in, else 0.", ["model", "state"])
MODEL_WEIGHT = Gauge("speechsum_model_weight", "Its weight among the versions of its name.", ["model"])
MODEL_REQUESTS = Gauge(
    "speechsum_model_requests_in_progress", "Requests and jobs that the model is processing.", ["model"]
)
UNLOADED = "unloaded"  # a model in this state has no other metrics


def set_model_metrics(
    name: str, version: str, kind: str, state: str, weight: float, active_requests: Callable[[], float]
) -> None:
    """Set the metrics of a model.

    The first call gives every outcome a zero, so that rates exist before the first request.

    Args:
        state: "loading", "ready", "draining", "failed" or "unloaded".
        active_requests: returns the requests that the model is processing; it is called whenever the metrics are read.
    """
    id_ = f"{name}@{version}"
    if state == UNLOADED:
        _remove_labels(MODEL_INFO, name, version, kind)
        _remove_labels(MODEL_WEIGHT, id_)
        _remove_labels(MODEL_REQUESTS, id_)
    else:
        MODEL_INFO.labels(name, version, kind).set(1)
        MODEL_WEIGHT.labels(id_).set(weight)
        MODEL_REQUESTS.labels(id_).set_function(active_requests)
    for each_state in ("loading", "ready", "draining", "failed", UNLOADED):
        MODEL_STATE.labels(id_, each_state).set(each_state == state)
    for outcome in OUTCOMES:
        REQUESTS.labels(outcome, kind, id_)
        REQUESTS.labels(outcome, kind, "")
    for family in (OUTPUT_TOKENS, PROMPT_TOKENS, REQUEST_SECONDS, FIRST_TOKEN_SECONDS, RTFX_RATIO):
        family.labels(kind)
    for by_model in (REQUEST_DURATION, TIME_TO_FIRST_TOKEN):
        by_model.labels(kind, id_)
    QUEUE_DURATION.labels(id_)


def observe_stage(stage: str, model: str, seconds: float) -> None:
    """Record the time that a request of a model spent in a stage. model: `name@version`."""
    STAGE_DURATION.labels(stage, model).observe(seconds)
    STAGE_SECONDS.labels(stage).observe(seconds)


def observe_first_token(kind: str, model: str, seconds: float) -> None:
    """Record the time from a request's first byte to its first text. kind, model: of the model that wrote it."""
    TIME_TO_FIRST_TOKEN.labels(kind, model).observe(seconds)
    FIRST_TOKEN_SECONDS.labels(kind).observe(seconds)


def clear_model_metrics() -> None:
    """Remove the metrics of all models."""
    for family in (MODEL_INFO, MODEL_STATE, MODEL_WEIGHT, MODEL_REQUESTS):
        family.clear()


def _remove_labels(family: Gauge, *labels: str) -> None:
    with suppress(KeyError):
        family.remove(*labels)


class RequestMetrics:
    """A context manager for one request: counts it as in progress and, at its end, its outcome and its time.

    The outcome is `ok` unless `outcome` is set or an exception passes. A ServiceError is `refused` (4xx) or `failed`
    (5xx), a client that left and a cancellation are `aborted`, and any other exception is `failed`.
    """

    def __init__(self, kind: str, disconnect_error: type[Exception]) -> None:
        """Start the clock.

        Args:
            kind: the kind of the model. Set `kind` and `model` when the request has got its model.
            disconnect_error: the exception that says that the client has left.
        """
        self.kind = kind
        self.model = ""
        self.disconnect_error = disconnect_error
        self.outcome: Outcome = "ok"
        self.error_code = ""
        self.started_at = time.perf_counter()

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the request began."""
        return time.perf_counter() - self.started_at

    def __enter__(self) -> Self:
        IN_PROGRESS.inc()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        IN_PROGRESS.dec()
        if isinstance(error, ServiceError):
            self.outcome = "refused" if error.status < 500 else "failed"
            self.error_code = error.code
        elif isinstance(error, self.disconnect_error) or (error is not None and not isinstance(error, Exception)):
            self.outcome = "aborted"
            ABORTS.inc()
        elif error is not None:
            self.outcome, self.error_code = "failed", "internal_error"
        if self.error_code:
            ERRORS.labels(self.error_code).inc()
        REQUESTS.labels(self.outcome, self.kind, self.model).inc()
        seconds = self.elapsed_seconds
        REQUEST_DURATION.labels(self.kind, self.model).observe(seconds)
        REQUEST_SECONDS.labels(self.kind).observe(seconds)
