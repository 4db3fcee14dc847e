"""What a model in vLLM is asked, in this process (`vllm_core`) and behind servers (`remote`) alike: the messages, how
the answer is written, and what a refusal means.

Knows nothing about vLLM's own types, HTTP or audio codecs.
"""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import ServiceError, TooLarge, Unavailable, Unprocessable
from app.core.prompts import audio_messages, conversation_messages, notes_messages
from app.engine.base import Adapter, EngineEvent, FinishReason, GenerationRequest, LoadedCheckpoint
from app.engine.repetition import RepetitionDetector

# Three times the same three to sixty tokens, one after another, is never a summary; small models fall into such loops.
# Sentences that come again are found apart from this (`app.engine.repetition`).
MIN_REPEATS, MIN_PATTERN_TOKENS, MAX_PATTERN_TOKENS = 3, 3, 60

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class SamplingOptions:
    """How one answer is written: see `app.engine.base.GenerationRequest`."""

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
        """As the request says."""
        return cls(**{name: getattr(request, name) for name in cls.__dataclass_fields__})


class ChatModel(LoadedCheckpoint, Protocol):
    """A checkpoint that answers chat messages: what the engines are built around."""

    def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: NDArray[np.float32] | None = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Write one answer: "prefill", "decode" at the first token, text as it comes, `Finished`. Control tokens inside
        the messages' texts are taken out first. audio: float32 mono samples at 16 kHz for the messages' placeholder.
        Closing the iterator aborts the request.
        """


def repetition_detector(sampling: SamplingOptions) -> RepetitionDetector | None:
    """What watches the answer for sentences that come again; nothing watches data that follows a schema."""
    return None if sampling.schema else RepetitionDetector()


def build_messages(request: GenerationRequest) -> Messages:
    """The chat messages around the request's recording, or around its notes, and of the conversation before."""
    if request.samples is None:
        return conversation_messages(
            lambda text: notes_messages(text, request.notes, request.system), request.instruction, request.turns
        )
    return conversation_messages(lambda text: audio_messages(text, request.system), request.instruction, request.turns)


def sort_longest_first(tokens: Iterable[str]) -> list[str]:
    """Control tokens in the order in which they are looked for."""
    return sorted(tokens, key=len, reverse=True)


def strip_control_tokens(messages: Messages, specials: list[str]) -> Messages:
    """The messages with every control token's text taken out of what callers wrote or said: a caller's instruction, or
    a transcript, must not be able to end its own turn.
    """

    def clean(text: str) -> str:
        while any(token in text for token in specials):  # again, because taking one out can join another
            for token in specials:
                text = text.replace(token, "")
        return text

    def clean_content(content: Any) -> Any:
        if isinstance(content, str):
            return clean(content)
        return [part | {"text": clean(part["text"])} if "text" in part else part for part in content]

    return [message | {"content": clean_content(message["content"])} for message in messages]


def finish_reason(reason: str | None) -> FinishReason:
    """vLLM's word for how an answer ended; what ended otherwise was given up."""
    if reason in ("stop", "length", "repetition"):
        return reason  # type: ignore[return-value]
    return "abort"


def refusal_error(reason: str, context: int) -> ServiceError:
    """The error for a request that vLLM did not take, by what it said."""
    if "context length" in reason or "max_model_len" in reason or "longer than" in reason:
        return TooLarge(
            f"recording, instruction and answer together do not fit the model's {context} tokens: {reason}",
            code="context_exceeded",
            param="file",
        )
    return Unprocessable(f"the engine refused the request: {reason}", code="engine_refused")


def unusable_adapter_error(name: str, why: object) -> Unprocessable:
    """The refusal of an adapter."""
    return Unprocessable(f"the adapter {name} cannot be served: {why}", code="adapter_unusable", param="folder")


def not_started_error() -> Unavailable:
    """The refusal of what was not started, or was stopped."""
    return Unavailable("the engine is not started", code="engine_not_ready")
