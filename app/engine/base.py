"""The protocol that every engine implements: samples (or notes) and an instruction go in, stages and text come out.

    audio_llm.AudioLlmEngine   an audio language model                                 kind "audio-llm"
    cascade.CascadeEngine      Whisper writes a transcript, a text model summarizes it  kind "cascade"
    scripted.ScriptedEngine    plays back a script, for tests and load ceilings         kind "scripted"
    scripted_process.ScriptedProcessEngine  the same, with a core that can be killed    kind "scripted"

The first two are built around a `chat_request.ChatModel`: vLLM in this process (`vllm_in_process.VllmChatModel`) or
vLLM servers (`remote.server_pool.RemoteChatModel`).

Knows nothing about HTTP, codecs or styles.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.concurrency import SharedResult
from app.core.asr.confidence import Recognition
from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.prompts import SYSTEM_PROMPT, Turn
from app.core.text.sections import MAX_SECTIONS

# "repetition": the model began to repeat itself and was stopped. "no_speech": a cascade's recognizer found no word.
# "not_understood": it found words, but all of them with too little confidence.
FinishReason = Literal["stop", "length", "repetition", "no_speech", "not_understood", "abort"]


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on a loaded checkpoint.

    Attributes:
        name: The name by which requests ask for it.
        load_id: A number from 1 that is unique to each time that an adapter is loaded.
        folder: The folder that PEFT saved. None if the engine already has the adapter under its name.
    """

    name: str
    load_id: int
    folder: Path | None = None


@dataclass(frozen=True)
class SectionedAnswer:
    """How an answer may be written in sections, each about a part of the transcript or of the notes by itself.

    Attributes:
        instruction: Returns the instruction for each of a number of sections, from 2, in the language of a BCP 47 tag,
            or in the one that the request names if the tag is None.
        separator: What stands between two sections.
        max_sections: The most sections that the answer may have.
        total_tokens: The most tokens of all sections together. If it is None, each may have the request's `max_tokens`.
    """

    instruction: Callable[[int, str | None], str]
    separator: str = " "
    max_sections: int = MAX_SECTIONS
    total_tokens: int | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """One answer to generate.

    Attributes:
        request_id: Unique among the requests inside the engine.
        samples: float32 mono samples at 16 kHz, shape (n,), finite, in [-1, 1]. The caller has checked that they are
            not longer than the model's longest pass. None if the model reads `notes` instead.
        instruction: The instruction as `app.core.prompts.instruction` words it.
        max_tokens: Upper bound on the tokens of the answer.
        temperature: 0 is greedy decoding.
        seed: Seed for sampling. None draws one.
        notes: The text of `app.core.prompts.notes_text`, read if `samples` is None.
        schema: JSON Schema that the engine forces the answer to follow.
        stop: The answer ends before the first of these texts.
        top_p: Share of the probability mass that is sampled from.
        priority: Requests with a lower value are scheduled first.
        cache_salt: The engine does not reuse a cached prompt that was read under another salt, so that nobody can tell
            from response times what others have sent.
        adapter: The LoRA adapter to answer with, which the engine has loaded.
        instruction_for_language: Returns the instruction for a summary in the language of a BCP 47 tag. It is given
            where the caller asked for no language: a cascade, which knows the spoken language, then asks its text model
            to write in that language.
        spoken_language: BCP 47 tag of the language of the notes, if it is known.
        turns: The conversation about the recording before the instruction.
        system: The system message.
        shared_transcript: Shared by the requests for the same samples, which a cascade then transcribes only once.
        vocabulary: Names and terms for a cascade's recognizer. The instruction has them too.
        known_transcript: What a recognizer heard earlier. A cascade reads it instead of samples, which are then None.
        sections: How the answer may be written in sections. None if it must be written in one piece.
    """

    request_id: str
    samples: NDArray[np.float32] | None
    instruction: str
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    notes: str = ""
    schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    top_p: float = 1.0
    priority: int = 0
    cache_salt: str = ""
    adapter: Adapter | None = None
    instruction_for_language: Callable[[str], str] | None = None
    spoken_language: str | None = None
    turns: tuple[Turn, ...] = ()
    system: str = SYSTEM_PROMPT
    shared_transcript: SharedResult[Transcript] | None = None
    vocabulary: tuple[str, ...] = ()
    known_transcript: Transcript | None = None
    sections: SectionedAnswer | None = None


@dataclass(frozen=True)
class StageStarted:
    """The engine entered a stage: "transcribe" (cascades only), "prefill" or "decode"."""

    stage: str


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True)
class AnswerSection:
    """A part of an answer that is about a part of the recording.

    Attributes:
        text_end: Where it ends in the answer's text, in characters. It begins where the one before it ends.
        start: Where the part of the recording begins, in seconds from the start of the samples.
        end: Where it ends.
    """

    text_end: int
    start: float
    end: float


@dataclass(frozen=True)
class GenerationFinished:
    """The last event of a request.

    Attributes:
        stage_seconds: Seconds spent in each stage, as the engine measured them.
        token_ids: The answer's tokens, if the engine knows them.
        transcript: What a cascade transcribed. None from other engines, and where the request had notes.
        recognition: How well a cascade's recognizer understood the recording. None in the same cases.
        segments: The segments of the transcript, with their times in the samples. Empty in the same cases.
        sections: The sections of the answer, in order. Empty if it was written in one piece.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    stage_seconds: dict[str, float] = field(default_factory=dict)
    token_ids: tuple[int, ...] = ()
    transcript: str | None = None
    recognition: Recognition | None = None
    segments: tuple[TranscriptSegment, ...] = ()
    sections: tuple[AnswerSection, ...] = ()


EngineEvent = StageStarted | TextDelta | GenerationFinished


class LoadedCheckpoint(Protocol):
    """One loaded checkpoint: starting and stopping it, its tokenizer, its adapters."""

    async def start(self) -> None:
        """Load the checkpoint. Raises `app.core.errors.Unavailable` with the reason if it cannot be served."""

    async def stop(self) -> None:
        """Free what `start` acquired. Calling it twice does no harm."""

    async def check_health(self) -> None:
        """Raise `app.core.errors.EngineDead` if the engine can no longer answer."""

    @property
    def running_requests(self) -> int:
        """Number of requests inside the engine now."""

    @property
    def context_tokens(self) -> int:
        """Number of tokens that a prompt and its answer may have together."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, by the model's tokenizer."""

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter. Raises `app.core.errors.Unprocessable` with the reason if it cannot be served."""

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Unload an adapter that no running request uses."""


class Engine(LoadedCheckpoint, Protocol):
    """A checkpoint that summarizes. Several `generate` iterators may be open at the same time."""

    def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        """Yield stages and text as they come, and `GenerationFinished` last. Closing the iterator aborts the request.

        Raises:
            TooLarge: The prompt and the answer do not fit the model's context.
            EngineDead: The engine died.
            Unprocessable: The engine refused the input.
        """
