"""The client of a speechsum service, which turns recorded speech into summaries.

`Client` and `AsyncClient` send requests, `errors.py` draws what they raise, and `verify_webhook` checks what the
service sends.
"""

from speechsum_client.answer_parts import (
    AudioFacts,
    CitedSentence,
    QuestionAnswer,
    SourceTime,
    StyleEcho,
    Transcript,
    TranscriptSegment,
    UnsupportedSpan,
    Usage,
    WindowFacts,
)
from speechsum_client.answers import (
    AnswerDeltaEvent,
    AnswerEvent,
    DeltaEvent,
    ErrorDetail,
    JobInfo,
    JobProgress,
    ParsedSummary,
    ProgressEvent,
    RecordingInfo,
    Summary,
    WebhookFacts,
)
from speechsum_client.async_client import AsyncClient
from speechsum_client.async_jobs import AsyncJob
from speechsum_client.cards import Model, Template
from speechsum_client.client import Client
from speechsum_client.errors import (
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidAnswer,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    JobNotEnded,
    NotFound,
    RequestTimeout,
    SchemaMismatch,
    ServiceError,
    SpeechsumError,
    TimedOut,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedAudio,
    WebhookNotVerified,
)
from speechsum_client.fields import QuestionFields, SummaryFields, TemplateFields
from speechsum_client.jobs import Job
from speechsum_client.kept_recordings import RecordingId
from speechsum_client.recordings import Recording
from speechsum_client.requests import ChatAnswer, Turn
from speechsum_client.retries import RetryPolicy
from speechsum_client.streams import RestartEvent, SummaryEvent
from speechsum_client.version import __version__
from speechsum_client.webhooks import WebhookEvent, verify_webhook

__all__ = [
    "AnswerDeltaEvent",
    "AnswerEvent",
    "AsyncClient",
    "AsyncJob",
    "AudioFacts",
    "ChatAnswer",
    "CitedSentence",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DeltaEvent",
    "ErrorDetail",
    "Forbidden",
    "InvalidAnswer",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobInfo",
    "JobNotEnded",
    "JobProgress",
    "Model",
    "NotFound",
    "ParsedSummary",
    "ProgressEvent",
    "QuestionAnswer",
    "QuestionFields",
    "Recording",
    "RecordingId",
    "RecordingInfo",
    "RequestTimeout",
    "RestartEvent",
    "RetryPolicy",
    "SchemaMismatch",
    "ServiceError",
    "SourceTime",
    "SpeechsumError",
    "StyleEcho",
    "Summary",
    "SummaryEvent",
    "SummaryFields",
    "Template",
    "TemplateFields",
    "TimedOut",
    "TooLarge",
    "TooManyRequests",
    "Transcript",
    "TranscriptSegment",
    "Turn",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
    "UnsupportedAudio",
    "UnsupportedSpan",
    "Usage",
    "WebhookEvent",
    "WebhookFacts",
    "WebhookNotVerified",
    "WindowFacts",
    "__version__",
    "verify_webhook",
]
