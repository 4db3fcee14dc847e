"""The one path of a request: recording → samples → speech? → windows → engine → summary.

`Summarizer.summarize` is a coroutine that tells of its progress by calling `emit` and returns the whole `Summary`. A
recording that fits the model's longest pass is read in one; a longer one in windows (`app.summarize.long_audio`).
Cancelling it cancels the decoding job and aborts the engine's requests. Knows nothing about HTTP or codecs, nor how an
engine works.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any, BinaryIO, Protocol

from app import metrics
from app.concurrency import together
from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import Samples
from app.core.audio.vad import Segment, encoder_windows, speech_seconds
from app.core.audio.vad_second_pass import Listening, undecided_warnings
from app.core.audio.windows import Window, covers, cut
from app.core.errors import InvalidRequest, Unavailable
from app.core.prompts import Style, language_name
from app.engine.base import Engine, EngineEvent, Generation, StageStarted, TextDelta
from app.engine.model_info import ServedModel
from app.settings import Settings, setting_name
from app.summarize.citations import cite
from app.summarize.generation import Read, Writer
from app.summarize.long_audio import LongReader
from app.summarize.recognition_warnings import overall_recognition, recognition_warnings
from app.summarize.request import Choice, Delta, Emit, Heard, Job, Stage, Summary
from app.summarize.structured.schema_workers import SchemaWorkers
from app.workers.fair_scheduler import Requester
from app.workers.speech_detector import SpeechDetector


class AudioDecoder(Protocol):
    """What the path needs of `app.workers.decoder_pool.Decoder`."""

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester) -> DecodedAudio:
        """A file in, samples out. Raises ServiceError."""


class Summarizer:
    """Makes summaries with one model. At most `ENGINE__MAX_NUM_SEQS` answers are written at once; the rest wait.

    find: finds speech in place of the detector, in a recording as a whole; the event is set when nobody waits any more.
    """

    def __init__(
        self,
        settings: Settings,
        model: ServedModel,
        engine: Engine,
        decoder: AudioDecoder,
        find: Callable[[Samples, Event], list[Segment]] | None = None,
        detector: SpeechDetector | None = None,
        schemas: SchemaWorkers | None = None,
    ) -> None:
        """schemas: what reads answers that follow a schema; its owner stops it."""
        self.settings = settings
        self.model = model
        self.engine = engine
        self.decoder = decoder
        self.find = find
        self.schemas = schemas or SchemaWorkers(settings.limits.schema_seconds)
        self.detector = detector or SpeechDetector()
        self.writer = Writer(engine, settings.engine.max_num_seqs)
        self.limits = decode_limits(settings)

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
        longest = job.longest_s or self.settings.timeouts.request_seconds
        try:
            async with asyncio.timeout(longest - (time.perf_counter() - job.began)) as deadline:
                return await self._summarize(job, emit)
        except TimeoutError:
            if not deadline.expired():
                raise
            setting = setting_name("jobs", "seconds") if job.longest_s else setting_name("timeouts", "request_seconds")
            raise Unavailable(
                f"The request took longer than {longest:g} seconds and was given up. The setting is {setting}.",
                code="deadline_exceeded",
            ) from None

    async def _summarize(self, job: Job, emit: Emit) -> Summary:
        timings = {"receive": job.received_s}
        emit(Stage("decode"))
        with _timed(timings, "decode"):
            audio = await self.decoder.decode(job.audio, self.limits, _requester(job))
        with closing(audio):
            return await self._heard(job, audio, timings, emit)

    async def _heard(self, job: Job, audio: DecodedAudio, timings: dict[str, float], emit: Emit) -> Summary:
        job.audio.close()
        await job.decoded(audio.seconds)
        metrics.AUDIO.inc(audio.seconds)
        metrics.AUDIO_DURATION.observe(audio.seconds)
        emit(Stage("speech"))
        with _timed(timings, "speech"):
            listening = await self.listen(audio.samples, _requester(job))
            speech = listening.spans
        generation = Generation(
            request_id=job.id,
            samples=None,
            instruction=job.instruction,
            turns=job.turns,
            max_tokens=job.max_tokens
            or min(max(job.style.max_tokens, job.form.max_tokens), self.settings.limits.max_tokens),
            temperature=job.temperature,
            seed=job.seed,
            schema=job.form.schema,
            stop=job.stop,
            top_p=job.top_p,
            priority=job.priority,
            cache_salt=job.owner,
            adapter=job.adapter,
            instruction_in=(lambda tag: job.in_language(tag).instruction) if job.open_language else None,
        )
        reads: list[Read] = []
        if speech:
            asked = [generation] + [
                replace(generation, request_id=f"{job.id}-{n}", seed=None if job.seed is None else job.seed + n)
                for n in range(1, job.choices)
            ]
            reads = await self._read(asked, audio.samples, job, speech, timings, emit)
        return await self._summary(job, generation, audio, listening, reads, timings)

    async def listen(self, samples: Samples, requester: Requester) -> Listening:
        """Where somebody speaks in a recording, and what is to be said of that."""
        if self.find is None:
            return await self.detector.listen(samples, requester)
        left = Event()
        try:
            return Listening(await asyncio.to_thread(self.find, samples, left))
        finally:
            left.set()

    async def _read(
        self,
        asked: list[Generation],
        samples: Samples,
        job: Job,
        speech: list[Segment],
        timings: dict[str, float],
        emit: Emit,
    ) -> list[Read]:
        """In one pass if the recording, or all speech in it, fits; else in windows, whose notes are made once."""
        begun: set[int] = set()

        def tell(choice: int, event: EngineEvent) -> None:
            match event:
                case StageStarted(stage):
                    emit(Stage(f"engine_{stage}"))
                case TextDelta(text):
                    if choice not in begun:
                        metrics.FIRST_TOKEN_SECONDS.labels(self.model.kind).observe(time.perf_counter() - job.began)
                    begun.add(choice)
                    emit(Delta(text, choice))

        longest = self.settings.long.pass_seconds or self.model.pass_seconds
        longest = min(longest, self.model.max_seconds)
        parts = [Window(0.0, len(samples) / self.model.sampling_rate)]
        if parts[0].seconds > longest:
            longest = min(self.settings.long.window_seconds or self.model.note_seconds or longest, longest)
            parts = await asyncio.to_thread(cut, speech, longest, samples)
        if len(parts) == 1:
            emit(Stage("queue"))
            whole = await asyncio.to_thread(parts[0].of, samples)
            written = await together(
                self.writer.write(replace(one, samples=whole), partial(tell, number))
                for number, one in enumerate(asked)
            )
            heard = [Heard(parts[0], recognition=written[0].finished.recognition)]
            reads = [Read(one, heard, one.finished.prompt_tokens, one.finished.completion_tokens) for one in written]
        else:
            noting_in = (lambda tag: job.in_language(tag).noting) if job.open_language else None
            reader = LongReader(self.settings.long, self.writer, job.noting, asked, noting_in)
            with _timed(timings, "long"):
                reads = await reader.read(samples, parts, emit, tell)
        # The first one's times are told: several at once take theirs from each other.
        first = reads[0].last
        timings["queue"] = first.waited_s
        timings |= {f"engine_{stage}": seconds for stage, seconds in first.finished.stage_seconds.items()}
        return reads

    async def _summary(
        self,
        job: Job,
        generation: Generation,
        audio: DecodedAudio,
        listening: Listening,
        reads: list[Read],
        timings: dict[str, float],
    ) -> Summary:
        warnings = [*audio.warnings, *listening.warnings]
        choices = [await self._choice(job, generation, read, warnings) for read in reads]
        choices = choices or [Choice("", "no_speech", [])]
        if choices[0].finish_reason == "no_speech":
            metrics.NO_SPEECH.inc()
        if choices[0].finish_reason == "not_understood":
            metrics.NOT_UNDERSTOOD.inc()
        heard = reads[0].heard if reads else []
        windows = [one.window for one in heard]
        found = overall_recognition(heard)
        if found and choices[0].finish_reason != "no_speech":
            understood = choices[0].finish_reason != "not_understood"
            limits = self.settings.recognizer
            warnings += recognition_warnings(found, self.model, job.style.language, limits, understood=understood)
        missed = [one for one in listening.undecided if not covers(windows, [one])]
        warnings += undecided_warnings(missed)
        timings["total"] = time.perf_counter() - job.began
        timings["overhead"] = _overhead(timings)
        summary = Summary(
            job=job,
            choices=choices,
            audio=audio,
            speech_seconds=speech_seconds(listening.spans),
            heard=heard,
            complete=not missed
            and not audio.unread
            and (
                choices[0].finish_reason == "no_speech"
                or (covers(windows, listening.spans) and not (found and found.left_out))
            ),
            encoder_windows=sum(encoder_windows(one.window.seconds, self.model.window_seconds) for one in heard),
            prompt_tokens=reads[0].prompt_tokens if reads else 0,
            completion_tokens=sum(read.completion_tokens for read in reads),
            timings=timings,
            warnings=list(dict.fromkeys(warnings)),
        )
        self._observe(summary, sum(read.prompt_tokens for read in reads))
        return summary

    async def _choice(self, job: Job, generation: Generation, read: Read, warnings: list[str]) -> Choice:
        """The words of one reading; what is to be said of them goes to the warnings."""
        text, reason = read.last.text, read.last.finished.finish_reason
        warnings += [*read.warnings, *self._warnings(job.style, generation, read)]
        notes = [one.note for one in read.heard if one.note is not None]
        value: Any = None
        if generation.schema and text:
            value, fault = await self.schemas.read(text, generation.schema, fill=not job.form.param)
            warnings += [fault] if fault else []
        return Choice(text, reason, cite(text, notes) if notes else [], value)

    def _observe(self, summary: Summary, prompt_tokens: int) -> None:
        kind, timings = self.model.kind, summary.timings
        metrics.PROMPT_TOKENS.labels(kind).inc(prompt_tokens)
        metrics.OUTPUT_TOKENS.labels(kind).inc(summary.completion_tokens)
        for stage, seconds in timings.items():
            if stage not in ("total", "overhead"):
                metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        metrics.RTFX_RATIO.labels(kind).observe(summary.rtfx)

    def _warnings(self, style: Style, generation: Generation, read: Read) -> Iterator[str]:
        reason = read.last.finished.finish_reason
        if reason == "length":
            yield (
                f"The summary was stopped at {generation.max_tokens} tokens and may end in the middle of a sentence; "
                "ask for more with max_tokens."
            )
        if reason == "repetition":
            yield "The model began to repeat itself and was stopped. A sentence that came again was cut off."
        if reason == "no_speech":
            yield "Someone may be speaking, but no word was understood."
        elif not read.last.text.strip() and reason != "not_understood":
            yield "The model wrote nothing about this recording."
        if style.language and not self.model.writes(style.language):
            trained = ", ".join(language_name(tag) for tag in self.model.languages)
            asked = language_name(style.language)
            yield f"{self.model.id} was not trained to write {asked}; it was trained on {trained}."


def decode_limits(settings: Settings) -> DecodeLimits:
    """What a recording may be: the settings' bounds, and their names."""
    limits = settings.limits
    names = {
        "max_bytes": "upload_bytes",
        "max_seconds": "decode_seconds",
        "max_samples": "samples",
        "max_samples_per_byte": "samples_per_byte",
        "max_source_rate": "source_rate",
        "max_channels": "channels",
        "max_missing_seconds": "missing_seconds",
        "max_parts": "parts",
    }
    return DecodeLimits(
        max_bytes=limits.upload_bytes,
        max_seconds=limits.decode_seconds,
        max_samples=limits.samples,
        max_samples_per_byte=limits.samples_per_byte,
        max_source_rate=limits.source_rate,
        max_channels=limits.channels,
        max_missing_seconds=limits.missing_seconds,
        max_parts=limits.parts,
        setting_names={limit: f"the setting is {setting_name('limits', name)}" for limit, name in names.items()},
    )


def _requester(job: Job) -> Requester:
    return Requester(job.caller or job.owner, background=job.priority > 0)


def _overhead(timings: dict[str, float]) -> float:
    """What the service itself took: the whole, less its stages. The stages of the engine are part of `long`."""
    parts = {"receive", "decode", "speech", "long" if "long" in timings else "queue"}
    if "long" not in timings:
        parts |= {stage for stage in timings if stage.startswith("engine_")}
    return max(0.0, timings["total"] - sum(timings.get(stage, 0.0) for stage in parts))


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - began
