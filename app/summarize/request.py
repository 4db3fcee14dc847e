"""What goes into the path of a request and what comes out: a job, the events on its way, the summary.

Knows nothing about how a summary is made.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from app.core import prompts
from app.core.asr.confidence import Recognition
from app.core.audio.decode import DecodedAudio
from app.core.audio.windows import Window
from app.core.prompts import Style, Turn
from app.engine.base import Adapter, FinishReason
from app.summarize.citations import Citation


@dataclass(frozen=True)
class OutputFormat:
    """In which form the summary is written. wording: what the instruction says of it. schema: JSON Schema it follows.
    max_tokens: room that it needs at least. param: the request's field that a caller's own schema came in; empty where
    the schema is the service's. wording_untrained: what is said to a model that was not trained on the service's
    prompts; the same if left out.
    """

    prompt_suffix: str = ""
    schema: dict[str, Any] | None = None
    max_tokens: int = 0
    param: str = ""
    wording_untrained: str = ""


async def _ignore_decoded(_: float) -> None:
    """Nothing is to be done once a recording is decoded."""


@dataclass
class SummaryRequest:
    """One summary to make.

    audio: the recording as received, in a file; closed as soon as it is decoded. own: an instruction in the caller's
    own words, instead of one for the style. turns: the conversation about the recording before it. choices: summaries
    to write of it. max_tokens: None is what style and form ask for. began: `time.perf_counter()` at the request's first
    byte. received_s: seconds that the recording took to arrive. longest_s: it may take from its beginning, None is the
    settings' bound for requests. priority: what has a lower one goes first. caller: who waits for it, by key or
    address. owner: whose it is, by key; nobody's where there are none. adapter: of the model, that it is written with.
    decoded: awaited with the recording's seconds once the file is no longer needed; may refuse it by raising
    ServiceError.
    """

    id: str
    audio: BinaryIO
    style: Style = field(default_factory=Style)
    custom_instruction: str = ""
    turns: tuple[Turn, ...] = ()
    output_format: OutputFormat = field(default_factory=OutputFormat)
    choice_count: int = 1
    max_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    started_at: float = field(default_factory=time.perf_counter)
    upload_seconds: float = 0.0
    timeout_s: float | None = None
    priority: int = 0
    caller: str = ""
    owner: str = ""
    adapter: Adapter | None = None
    on_decoded: Callable[[float], Awaitable[None]] = _ignore_decoded

    @property
    def instruction(self) -> str:
        """What the model is told."""
        return " ".join(
            filter(None, [self.custom_instruction or prompts.instruction(self.style), self.output_format.prompt_suffix])
        )

    @property
    def leaves_language_open(self) -> bool:
        """Whether the caller has left the summary's language open; words of their own may name one."""
        return self.style.language is None and not self.custom_instruction

    def with_language(self, tag: str) -> "SummaryRequest":
        """The same job with a language asked for. tag: BCP 47."""
        return replace(self, style=self.style.model_copy(update={"language": tag}))

    def for_untrained_model(self) -> "SummaryRequest":
        """The same job for a model that was not trained on the service's prompts."""
        return replace(
            self,
            output_format=replace(
                self.output_format,
                prompt_suffix=self.output_format.wording_untrained or self.output_format.prompt_suffix,
            ),
        )

    @property
    def note_instruction(self) -> str:
        """What it is told of a part of a long recording: to note down what all questions are about, not only the last
        one, which may be no more than "Shorter, please.".
        """
        return prompts.note_instruction(
            self.style, "\n".join([*(turn.question for turn in self.turns), self.custom_instruction]).strip()
        )


@dataclass(frozen=True)
class StageProgress:
    """The request entered a stage: decode, speech, queue, engine_transcribe, engine_prefill or engine_decode; where
    the recording is longer than one pass, windows and merge, with so many of their parts done.
    """

    stage: str
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class SummaryDelta:
    """A piece of the summary, in order. choice: of which, from 0."""

    text: str
    choice_index: int = 0


Emit = Callable[[StageProgress | SummaryDelta], None]


@dataclass(frozen=True)
class WindowResult:
    """A window that was read, and what was noted down of it; no note where the recording was read in one pass.
    recognition: how a cascade's recognizer heard it.
    """

    window: Window
    note: str | None = None
    recognition: Recognition | None = None


@dataclass(frozen=True)
class Choice:
    """One summary's words. citations: of a recording read in several windows. structured: the text's value, where it
    was to follow a schema and does.
    """

    text: str
    finish_reason: FinishReason
    citations: list[Citation]
    structured: Any = None


@dataclass(frozen=True)
class Summary:
    """A finished summary and what it rests on. Times in seconds by stage, as they passed on the wall.

    heard: the windows read, in order, with the notes that all choices are made of.
    """

    request: SummaryRequest
    choices: list[Choice]
    audio: DecodedAudio
    speech_seconds: float
    window_results: list[WindowResult]
    complete: bool
    encoder_windows: int
    prompt_tokens: int
    completion_tokens: int
    timings: dict[str, float]
    warnings: list[str]

    @property
    def text(self) -> str:
        """The first choice's."""
        return self.choices[0].text

    @property
    def finish_reason(self) -> FinishReason:
        """The first choice's."""
        return self.choices[0].finish_reason

    @property
    def rtfx(self) -> float:
        """Seconds of audio a second of work: without the time in which it arrived or waited."""
        worked = self.timings["total"] - self.timings["receive"] - self.timings.get("queue", 0.0)
        return self.audio.seconds / max(worked, 1e-6)

    @property
    def summarized_seconds(self) -> float:
        """How much of the recording was read."""
        return sum(one.window.seconds for one in self.window_results)
