"""The one path of a request: recording → samples → speech? → engine → summary.

`Summarizer.summarize` is a coroutine that tells of its progress by calling `emit` and returns the whole `Summary`.
Cancelling it cancels the decoding job and aborts the engine's request. Knows nothing about HTTP or codecs, nor how an
engine works.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from app import metrics
from app.audio.decode import DecodedAudio
from app.audio.limits import DecodeLimits
from app.audio.speech import find_speech, speech_seconds, windows
from app.engine.base import Engine, EngineEvent, Finished, FinishReason, Generation, StageStarted, TextDelta
from app.errors import InvalidRequest, Unavailable
from app.prompts import Style, instruction, language_name
from app.served import ServedModel
from app.settings import Settings, setting_name

Samples = NDArray[np.float32]


class AudioDecoder(Protocol):
    """What the path needs of `app.audio.pool.Decoder`."""

    async def decode(self, data: bytes, limits: DecodeLimits) -> DecodedAudio:
        """Bytes in, samples out. Raises ServiceError."""


@dataclass
class Job:
    """One summary to make.

    audio: the recording as received; let go as soon as it is decoded. max_tokens: None is what the style asks for.
    began: `time.perf_counter()` at the request's first byte. received_s: seconds the recording took to arrive.
    """

    id: str
    audio: bytes
    style: Style = field(default_factory=Style)
    max_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    began: float = field(default_factory=time.perf_counter)
    received_s: float = 0.0
    on_decoded: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Stage:
    """The request entered a stage: decode, speech, queue, engine_transcribe, engine_prefill or engine_decode."""

    stage: str


@dataclass(frozen=True)
class Delta:
    """A piece of the summary, in order."""

    text: str


Emit = Callable[[Stage | Delta], None]


@dataclass(frozen=True)
class Summary:
    """A finished summary and what it rests on. Times in seconds by stage, as they passed on the wall."""

    job: Job
    text: str
    finish_reason: FinishReason
    instruction: str
    audio: DecodedAudio
    summarized_seconds: float
    speech_seconds: float
    windows: int
    prompt_tokens: int
    completion_tokens: int
    timings: dict[str, float]
    warnings: list[str]

    @property
    def complete(self) -> bool:
        """Whether the summary rests on the whole recording."""
        return self.finish_reason == "no_speech" or self.summarized_seconds >= self.audio.seconds


class Summarizer:
    """Makes summaries with one model. At most `ENGINE__MAX_NUM_SEQS` are in the engine at once; the rest wait."""

    def __init__(
        self,
        settings: Settings,
        model: ServedModel,
        engine: Engine,
        decoder: AudioDecoder,
        find: Callable[[Samples], list[tuple[float, float]]] = find_speech,
    ) -> None:
        self.settings = settings
        self.model = model
        self.engine = engine
        self.decoder = decoder
        self.find = find
        self.slots = asyncio.Semaphore(settings.engine.max_num_seqs)
        self.limits = decode_limits(settings, model)

    def check(self, max_tokens: int | None) -> None:
        """Refuse what can be refused without the recording. Raises InvalidRequest (400)."""
        most = self.settings.limits.max_tokens
        if max_tokens is not None and max_tokens > most:
            raise InvalidRequest(
                f"max_tokens is {max_tokens}, the most is {most} ({setting_name('limits', 'max_tokens')}).",
                code="invalid_field",
                param="max_tokens",
            )

    async def summarize(self, job: Job, emit: Emit) -> Summary:
        """Take one recording all the way. Raises ServiceError; "deadline_exceeded" if it takes too long."""
        longest = self.settings.timeouts.request_seconds
        try:
            async with asyncio.timeout(longest - (time.perf_counter() - job.began)) as deadline:
                return await self._summarize(job, emit)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Unavailable(
                f"The request took longer than {longest:g} seconds and was given up. The setting is "
                f"{setting_name('timeouts', 'request_seconds')}.",
                code="deadline_exceeded",
            ) from None

    async def _summarize(self, job: Job, emit: Emit) -> Summary:
        timings = {"receive": job.received_s}
        emit(Stage("decode"))
        with _timed(timings, "decode"):
            audio = await self.decoder.decode(job.audio, self.limits)
        job.audio = b""
        job.on_decoded()
        metrics.AUDIO.inc(audio.seconds)
        metrics.AUDIO_DURATION.observe(audio.seconds)
        emit(Stage("speech"))
        with _timed(timings, "speech"):
            speech = await asyncio.to_thread(self.find, audio.samples)
        generation = Generation(
            request_id=job.id,
            samples=audio.samples,
            instruction=instruction(job.style),
            max_tokens=job.max_tokens or min(job.style.max_tokens, self.settings.limits.max_tokens),
            temperature=job.temperature,
            seed=job.seed,
        )
        if not speech:
            metrics.NO_SPEECH.inc()
            return self._summary(job, generation, audio, speech, "", None, timings)
        text, finished = await self._generate(generation, job, timings, emit)
        if finished.finish_reason == "no_speech":
            metrics.NO_SPEECH.inc()
        return self._summary(job, generation, audio, speech, text, finished, timings)

    async def _generate(
        self, generation: Generation, job: Job, timings: dict[str, float], emit: Emit
    ) -> tuple[str, Finished]:
        emit(Stage("queue"))
        with _timed(timings, "queue"), metrics.QUEUE_WAITING.track_inprogress():
            await self.slots.acquire()
        pieces: list[str] = []
        finished: Finished | None = None
        try:
            events = cast(AsyncGenerator[EngineEvent, None], self.engine.generate(generation))
            async with aclosing(events):
                async for event in events:
                    match event:
                        case StageStarted(stage):
                            emit(Stage(f"engine_{stage}"))
                        case TextDelta(text):
                            if not pieces:
                                first = time.perf_counter() - job.began
                                metrics.FIRST_TOKEN_SECONDS.labels(self.model.kind).observe(first)
                            pieces.append(text)
                            emit(Delta(text))
                        case Finished():
                            finished = event
        finally:
            self.slots.release()
        if finished is None or finished.finish_reason == "abort":
            raise Unavailable("The engine gave this request up. Try again.", code="engine_aborted", retry_after_s=1)
        for stage, seconds in finished.stage_seconds.items():
            timings[f"engine_{stage}"] = seconds
        return "".join(pieces), finished

    def _summary(
        self,
        job: Job,
        generation: Generation,
        audio: DecodedAudio,
        speech: list[tuple[float, float]],
        text: str,
        finished: Finished | None,
        timings: dict[str, float],
    ) -> Summary:
        timings["total"] = time.perf_counter() - job.began
        prompt_tokens = finished.prompt_tokens if finished else 0
        completion_tokens = finished.completion_tokens if finished else 0
        self._observe(audio, timings, prompt_tokens, completion_tokens)
        return Summary(
            job=job,
            text=text,
            finish_reason=finished.finish_reason if finished else "no_speech",
            instruction=generation.instruction,
            audio=audio,
            summarized_seconds=audio.seconds if finished else 0.0,
            speech_seconds=speech_seconds(speech),
            windows=windows(len(audio.samples), self.model.window_seconds) if finished else 0,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            timings=timings,
            warnings=[*audio.warnings, *self._warnings(job.style, generation, text, finished)],
        )

    def _observe(self, audio: DecodedAudio, timings: dict[str, float], prompt: int, completion: int) -> None:
        kind = self.model.kind
        metrics.PROMPT_TOKENS.labels(kind).inc(prompt)
        metrics.OUTPUT_TOKENS.labels(kind).inc(completion)
        for stage, seconds in timings.items():
            if stage != "total":
                metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        processing = timings["total"] - timings["receive"] - timings.get("queue", 0.0)
        metrics.RTFX_RATIO.labels(kind).observe(audio.seconds / max(processing, 1e-6))

    def _warnings(self, style: Style, generation: Generation, text: str, finished: Finished | None) -> Iterator[str]:
        if finished is None:
            return
        if finished.finish_reason == "length":
            yield (
                f"The summary was stopped at {generation.max_tokens} tokens and may end in the middle of a sentence; "
                "ask for more with max_tokens."
            )
        if finished.finish_reason == "repetition":
            yield "The model began to repeat itself and was stopped; the summary's end says one thing more than once."
        if finished.finish_reason == "no_speech":
            yield "Someone may be speaking, but no word was understood."
        elif not text.strip():
            yield "The model wrote nothing about this recording."
        if style.language and not self.model.writes(style.language):
            trained = ", ".join(language_name(tag) for tag in self.model.languages)
            asked = language_name(style.language)
            yield f"{self.model.id} was not trained to write {asked}; it was trained on {trained}."


def decode_limits(settings: Settings, model: ServedModel) -> DecodeLimits:
    """What a recording for `model` may be: the settings' bounds, and never longer than one pass of the model holds."""
    limits = settings.limits
    names = {
        "max_bytes": "upload_bytes",
        "max_seconds": "decode_seconds",
        "max_samples": "samples",
        "max_source_rate": "source_rate",
        "max_channels": "channels",
        "max_missing_seconds": "missing_seconds",
    }
    words = {limit: f"the setting is {setting_name('limits', name)}" for limit, name in names.items()}
    if model.max_seconds < limits.decode_seconds:
        words["max_seconds"] = (
            f"the longest that {model.id} hears in one pass; another model is chosen with SPEECHSUM_MODEL"
        )
    return DecodeLimits(
        max_bytes=limits.upload_bytes,
        max_seconds=min(limits.decode_seconds, model.max_seconds),
        max_samples=limits.samples,
        max_source_rate=limits.source_rate,
        max_channels=limits.channels,
        max_missing_seconds=limits.missing_seconds,
        setting_names=words,
    )


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - began
