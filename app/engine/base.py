"""The protocol every engine implements: samples (or notes) and an instruction in, stages and text out.

    vllm_audio.VllmAudioEngine   an audio language model in vLLM                           kind "audio-llm"
    cascade.CascadeEngine        Whisper, then a text model in vLLM                        kind "cascade"
    scripted.ScriptedEngine      plays back a script; for tests and for load ceilings      kind "scripted"

The first two have their vLLM in this process (`vllm_core.VllmCore`) or behind servers (`remote.RemoteCore`).

Knows nothing about HTTP, codecs or styles.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.asr.confidence import Recognition
from app.core.prompts import SYSTEM_PROMPT, Turn

# "repetition": the model began to repeat itself and was stopped. "no_speech": a cascade's recognizer found no word.
# "not_understood": it found some, but was too unsure of all of them.
FinishReason = Literal["stop", "length", "repetition", "no_speech", "not_understood", "abort"]


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on a loaded checkpoint. number: of its own for each time one is loaded, from 1. folder: as PEFT
    saves it; None where the engine has it by its name.
    """

    name: str
    load_id: int
    folder: Path | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """One summary to write.

    samples: float32 mono, 16 kHz, finite, in [-1, 1]; at most the model's longest pass (the caller has checked).
        None where the material is `notes`, the text of `app.core.prompts.notes_text`.
    instruction: as worded by `app.core.prompts.instruction`.
    temperature: 0 is greedy. seed: for sampling, None draws one.
    schema: JSON Schema that the text follows, which the engine enforces. stop: texts before which it ends. top_p: share
        of the probability that is sampled from. priority: what has a lower one goes first. cache_salt: what was read
        under another salt is not reused, so that nobody learns from times what others sent. adapter: what it is written
        with; the engine has loaded it. instruction_in: the instruction for a summary in a language by its BCP 47 tag,
        where the caller asked for none: a cascade, which knows what is spoken, asks its model to write in that one.
        spoken: the language of the notes, where it is known. turns: the
        conversation about the recording before the instruction. system: the system message.
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


@dataclass(frozen=True)
class StageStarted:
    """The engine entered a stage: "transcribe" (cascades only), "prefill" or "decode"."""

    stage: str


@dataclass(frozen=True)
class TextDelta:
    """A piece of the summary, in order."""

    text: str


@dataclass(frozen=True)
class GenerationFinished:
    """The end of one summary. Seconds by stage as the engine saw them; `transcript` and `recognition` only from a
    cascade that was given audio.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    stage_seconds: dict[str, float] = field(default_factory=dict)
    token_ids: tuple[int, ...] = ()
    transcript: str | None = None
    recognition: Recognition | None = None


EngineEvent = StageStarted | TextDelta | GenerationFinished


class LoadedCheckpoint(Protocol):
    """One loaded checkpoint: its life, what it knows of tokens, its adapters."""

    async def start(self) -> None:
        """Load the checkpoint. Raises `app.core.errors.Unavailable` with the reason if it cannot be served."""

    async def stop(self) -> None:
        """Free what `start` took. Harmless twice."""

    async def check_health(self) -> None:
        """Raise `app.core.errors.EngineDead` if the engine can answer nothing any more."""

    @property
    def running_requests(self) -> int:
        """Requests inside the engine now."""

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its answer may have together."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, as the model reads it."""

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter. Raises `app.core.errors.Unprocessable` with the reason if it cannot be served."""

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget an adapter that no request is written with any more."""


class Engine(LoadedCheckpoint, Protocol):
    """A checkpoint that summarizes. `generate` may be entered many times at once; closing its iterator aborts the
    request.
    """

    def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        """Stages and text as they come, `GenerationFinished` last.

        Raises `app.core.errors.TooLarge` if prompt and answer do not fit the model's context,
        `app.core.errors.EngineDead` if the engine died, `app.core.errors.Unprocessable` if it refused the input.
        """
