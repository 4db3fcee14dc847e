"""What a chat model in vLLM is asked, in this process (`vllm_in_process`) or on servers (`remote`): the messages, the
sampling options, and the errors that a refusal becomes.

Knows nothing about vLLM's own types, HTTP or audio codecs.
"""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import EngineDead, ServiceError, TooLarge, Unprocessable
from app.core.prompts import audio_messages, conversation_messages, notes_messages
from app.engine.base import Adapter, EngineEvent, FinishReason, GenerationRequest, LoadedCheckpoint
from app.engine.repetition import RepetitionDetector

# Small models fall into loops. The same three to sixty tokens three times in a row are never part of a summary, and
# vLLM stops at them. Repeated sentences are detected separately (`app.engine.repetition`).
MIN_REPEATS, MIN_PATTERN_TOKENS, MAX_PATTERN_TOKENS = 3, 3, 60

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class SamplingOptions:
    """How one answer is sampled. The fields are those of `app.engine.base.GenerationRequest`."""

    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    top_p: float = 1.0
    priority: int = 0
    cache_salt: str = ""
    adapter: Adapter | None = None

    @classmethod
    def from_request(cls, request: GenerationRequest) -> "SamplingOptions":
        """Return the options of a request."""
        return cls(**{name: getattr(request, name) for name in cls.__dataclass_fields__})


class ChatModel(LoadedCheckpoint, Protocol):
    """A checkpoint that answers chat messages. The engines are built around one."""

    def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: NDArray[np.float32] | None = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Generate one answer. Closing the iterator aborts the request.

        Yields the stage "prefill", the stage "decode" at the first token, the text as it comes, and
        `GenerationFinished`. Control tokens are removed from the messages' texts before.

        Args:
            messages: Chat messages whose contents are texts or lists of parts of type "text" or "audio".
            sampling: How the answer is sampled.
            request_id: Unique among the requests inside the engine.
            audio: float32 mono samples at 16 kHz, shape (n,), for the messages' part of type "audio".

        Raises:
            TooLarge: The prompt and the answer do not fit the model's context.
            Unprocessable: The engine refused the request.
            EngineDead: The engine died.
            Unavailable: The model is not started, or its server failed.
        """


def repetition_detector(sampling: SamplingOptions) -> RepetitionDetector | None:
    """Return a detector of repeated sentences, or None for data that follows a schema, where lines may repeat."""
    return None if sampling.schema else RepetitionDetector()


def build_messages(request: GenerationRequest) -> Messages:
    """Return the chat messages of a request: the conversation, and the recording or the notes."""
    if request.samples is None:
        return conversation_messages(
            lambda text: notes_messages(text, request.notes, request.system), request.instruction, request.turns
        )
    return conversation_messages(lambda text: audio_messages(text, request.system), request.instruction, request.turns)


def sort_longest_first(tokens: Iterable[str]) -> list[str]:
    """Return control tokens in the order in which they are removed: a token before those that it contains."""
    return sorted(tokens, key=len, reverse=True)


def strip_control_tokens(messages: Messages, control_tokens: list[str]) -> Messages:
    """Return the messages without the text of any control token.

    A caller's instruction, or a transcript, must not be able to end its own turn. control_tokens: in the order of
    `sort_longest_first`.
    """

    def clean(text: str) -> str:
        while any(token in text for token in control_tokens):  # again, because removing one can form another
            for token in control_tokens:
                text = text.replace(token, "")
        return text

    def clean_content(content: Any) -> Any:
        if isinstance(content, str):
            return clean(content)
        return [part | {"text": clean(part["text"])} if "text" in part else part for part in content]

    return [message | {"content": clean_content(message["content"])} for message in messages]


def finish_reason(reason: str | None) -> FinishReason:
    """Return vLLM's finish reason as one of this service's. Any other reason means that the request was aborted."""
    if reason in ("stop", "length", "repetition"):
        return reason  # type: ignore[return-value]
    return "abort"


def refusal_error(reason: str, context_tokens: int) -> ServiceError:
    """Return the error for a request that vLLM refused.

    It is TooLarge if vLLM's message speaks of the context length, and Unprocessable otherwise.
    """
    if "context length" in reason or "max_model_len" in reason or "longer than" in reason:
        return TooLarge(
            f"Recording, instruction and answer together do not fit the model's {context_tokens} tokens: {reason}",
            code="context_exceeded",
            param="file",
        )
    return Unprocessable(f"The engine refused the request: {reason}", code="engine_refused")


def unusable_adapter_error(name: str, reason: object) -> Unprocessable:
    """Return the error for an adapter that cannot be served."""
    return Unprocessable(f"The adapter {name} cannot be served: {reason}", code="adapter_unusable", param="folder")


def not_started_error() -> EngineDead:
    """Return the error for a request to an engine that was not started, or was stopped: another one takes its place."""
    return EngineDead("The engine is not started, or was stopped. Try again.", code="engine_not_ready")
