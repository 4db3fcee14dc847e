"""The types at both ends of a request's path: the request, the events on the way, and the summary.

Knows nothing about how a summary is made.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Literal

from app.core import prompts
from app.core.asr.confidence import Recognition
from app.core.asr.transcript import TranscriptSegment
from app.core.audio.decode import DecodedAudio
from app.core.audio.vad import Span
from app.core.audio.windows import Window
from app.core.background import Background
from app.core.prompts import Style, Turn
from app.core.text.unsupported import Unsupported
from app.engine.base import Adapter, FinishReason
from app.recordings.content import RecordingContent
from app.recordings.store import KeptRecording
from app.summarize.answers import Answer, AnswerDelta, AnswerFinished
from app.summarize.citations import Citation
from app.templates.template import Template

Effort = Literal["normal", "high"]
TranscriptFormat = Literal["text", "srt", "vtt", "verbose_json"]


@dataclass(frozen=True)
class OutputFormat:
    """The form of the summary: Markdown, plain text, or JSON.

    Attributes:
        prompt_suffix: The sentence about the form at the end of the instruction.
        schema: JSON Schema that the summary follows.
        max_tokens: Number of tokens that this form needs at least.
        param: The field of the request that a caller's own schema came in. Empty if the schema is the service's.
        untrained_prompt_suffix: If it is not empty, it replaces `prompt_suffix` for a model that was not trained on the
            service's prompts.
    """

    prompt_suffix: str = ""
    schema: dict[str, Any] | None = None
    max_tokens: int = 0
    param: str = ""
    untrained_prompt_suffix: str = ""


async def _ignore_decoded(_: float) -> None:
    """Do nothing after a recording is decoded."""


async def _find_no_terms() -> tuple[str, ...]:
    """Return no terms, for a caller without a vocabulary."""
    return ()


@dataclass
class SummaryRequest:
    """One recording to summarize.

    Attributes:
        id: The request's id, as the response names it.
        audio: The recording as it was received, in a file. It is closed as soon as it is decoded. Empty if the
            recording is `kept`.
        style: The style of the summary.
        custom_instruction: An instruction in the caller's own words, instead of the one for the style.
        turns: The conversation about the recording before this request.
        background: What the caller knows before the recording is heard.
        transcript_format: The form in which the caller wants the transcript beside the summary. None for no transcript.
        template: The template that is applied (`app.summarize.templates`). None if there is none.
        template_candidates: The templates that one is chosen from by the recording. Empty if none is to be chosen.
        output_format: The form of the summary.
        choice_count: Number of summaries to write.
        effort: "high" writes several summaries and sends the one that the others agree with most.
        max_tokens: Upper bound on the tokens of a summary. None means as many as the style and the form ask for.
        temperature: 0 is greedy decoding.
        seed: Seed for sampling. None draws one.
        top_p: Share of the probability mass that is sampled from.
        stop: The summary ends before the first of these texts.
        started_at: `time.perf_counter()` at the first byte of the request.
        upload_seconds: Seconds that the recording took to arrive.
        timeout_s: Seconds that the request may take from its start. None means the settings' limit.
        priority: Requests with a lower value are served first.
        caller: Who waits for the request, by API key or address. Callers take turns in the decoder.
        owner: Who owns the request, by API key. Empty if the service has no keys.
        adapter: The model's adapter that the summary is written with.
        on_decoded: Awaited with the recording's length in seconds once the file is no longer needed, and before kept
            samples are heard again. It may refuse the recording by raising ServiceError.
        find_vocabulary: Awaited for names and terms of the caller's API key, which stand behind those of the request.
        kept: The recording, if an earlier request has kept it: nothing is received or decoded.
        keep_recording: Keeps the recording once the summary is written, and returns None if it is too large. None if
            the caller does not ask for that.
        questions: Questions about the recording, which are answered beside the summary.
    """

    id: str
    audio: BinaryIO
    style: Style = field(default_factory=Style)
    custom_instruction: str = ""
    turns: tuple[Turn, ...] = ()
    background: Background = field(default_factory=Background)
    transcript_format: TranscriptFormat | None = None
    template: Template | None = None
    template_candidates: tuple[Template, ...] = ()
    output_format: OutputFormat = field(default_factory=OutputFormat)
    choice_count: int = 1
    effort: Effort = "normal"
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
    find_vocabulary: Callable[[], Awaitable[tuple[str, ...]]] = _find_no_terms
    kept: KeptRecording | None = None
    keep_recording: Callable[[RecordingContent], KeptRecording | None] | None = None
    questions: tuple[str, ...] = ()

    @property
    def instruction(self) -> str:
        """The instruction for the model, without the background."""
        worded = self.custom_instruction
        if self.template or not worded:
            worded = f"{prompts.instruction(self.style, self._template_instruction)} {worded}"
        return " ".join(filter(None, [worded.strip(), self.output_format.prompt_suffix]))

    @property
    def prompt(self) -> str:
        """The instruction for the model, with the background in front of it."""
        return self.background.introduce(self.instruction)

    @property
    def is_sampled(self) -> bool:
        """Whether one of several candidates is the summary."""
        return self.effort == "high"

    @property
    def leaves_language_open(self) -> bool:
        """Whether the caller asked for no language. An instruction in the caller's own words may name one."""
        return self.style.language is None and not self.custom_instruction

    def with_language(self, tag: str) -> "SummaryRequest":
        """Return the same request with the language of a BCP 47 tag asked for."""
        return replace(self, style=self.style.model_copy(update={"language": tag}))

    def for_untrained_model(self) -> "SummaryRequest":
        """Return the same request for a model that was not trained on the service's prompts."""
        return replace(
            self,
            output_format=replace(
                self.output_format,
                prompt_suffix=self.output_format.untrained_prompt_suffix or self.output_format.prompt_suffix,
            ),
        )

    @property
    def note_instruction(self) -> str:
        """The instruction for the notes on a part of a long recording, with the background in front of it.

        It names all questions of the conversation, because the last one may be no more than "Shorter, please.", and
        those that are answered beside the summary.
        """
        asked = [*(turn.question for turn in self.turns), self._template_instruction, self.custom_instruction]
        questions = "\n".join(filter(None, [*asked, *self.questions]))
        return self.background.introduce(prompts.note_instruction(self.style, questions))

    @property
    def _template_instruction(self) -> str:
        return self.template.content.instruction if self.template else ""


@dataclass(frozen=True)
class StageProgress:
    """The request entered a stage, or made progress in it.

    The stages are decode, speech, queue, engine_transcribe, engine_prefill and engine_decode. A recording longer than
    one pass also has windows and merge, of whose `total` parts `done` are finished. With the effort "high" there are
    sampling, of which the same is said, and choosing; with questions there is questions.
    """

    stage: str
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class SummaryDelta:
    """The next piece of a summary's text. choice_index: which summary it belongs to, from 0."""

    text: str
    choice_index: int = 0


SummaryEvent = StageProgress | SummaryDelta | AnswerDelta | AnswerFinished
Emit = Callable[[SummaryEvent], None]


@dataclass(frozen=True)
class WindowResult:
    """A window of the recording that was read.

    Attributes:
        window: The window.
        note: The notes on it. None if the recording was read in one pass.
        recognition: How well a cascade's recognizer understood it. None from other engines.
        transcript: What was heard in it. None from an engine that cannot say that.
        segments: The segments of the transcript. Their times are in seconds from the start of the window.
    """

    window: Window
    note: str | None = None
    recognition: Recognition | None = None
    transcript: str | None = None
    segments: tuple[TranscriptSegment, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One summary of the recording.

    Attributes:
        text: Its text.
        finish_reason: Why the model stopped.
        citations: Where its sentences come from, if that is known.
        structured: The parsed JSON, if the text had to follow a schema and does.
        unsupported: The names and figures in it that were not heard. None if the model cannot say what it heard.
    """

    text: str
    finish_reason: FinishReason
    citations: list[Citation]
    structured: Any = None
    unsupported: list[Unsupported] | None = None


@dataclass(frozen=True)
class Summary:
    """The result of a request.

    Attributes:
        request: The request.
        choices: The summaries, at least one.
        audio: The decoded recording.
        speech_spans: Where somebody speaks in it: (start, end) in seconds.
        window_results: The windows that were read, in order, with the notes that all choices are made from.
        complete: Whether all speech in the recording was read.
        encoder_windows: Number of windows that the model's audio encoder read.
        prompt_tokens: Tokens of the first choice's prompts, and of those of the questions.
        completion_tokens: Tokens of all answers that the choices and the questions took.
        timings: Wall-clock seconds by stage, with "total" and "overhead".
        warnings: Sentences for the caller, without repeats.
        answers: The answers to the request's questions, in order.
        kept: The recording, if it was kept for further requests, now or by an earlier one.
    """

    request: SummaryRequest
    choices: list[Choice]
    audio: DecodedAudio
    speech_spans: list[Span]
    window_results: list[WindowResult]
    complete: bool
    encoder_windows: int
    prompt_tokens: int
    completion_tokens: int
    timings: dict[str, float]
    warnings: list[str]
    answers: list[Answer] = field(default_factory=list)
    kept: KeptRecording | None = None

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.choices[0].text

    @property
    def finish_reason(self) -> FinishReason:
        """Why the model stopped writing the first choice."""
        return self.choices[0].finish_reason

    @property
    def rtfx(self) -> float:
        """Real-time factor: audio seconds per second of work. Upload and queueing do not count."""
        work_seconds = self.timings["total"] - self.timings["receive"] - self.timings.get("queue", 0.0)
        return self.audio.seconds / max(work_seconds, 1e-6)

    @property
    def summarized_seconds(self) -> float:
        """Seconds of the recording that were read."""
        return sum(one.window.seconds for one in self.window_results)
