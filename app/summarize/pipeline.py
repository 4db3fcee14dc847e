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
from app.concurrency import run_all
from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import Samples
from app.core.audio.vad import Span, count_encoder_windows, speech_seconds
from app.core.audio.vad_second_pass import SpeechDetection, uncertain_speech_warnings
from app.core.audio.windows import Window, covers, split_into_windows
from app.core.errors import InvalidRequest, Unavailable
from app.core.prompts import SYSTEM_FOR_DATA, SYSTEM_PROMPT, Style, language_name
from app.engine.base import Engine, EngineEvent, GenerationRequest, StageStarted, TextDelta
from app.engine.model_info import ModelInfo
from app.settings import Settings, setting_name
from app.summarize.citations import cite
from app.summarize.generation import GeneratedSummary, TextGenerator
from app.summarize.long_audio import LongAudioSummarizer
from app.summarize.recognition_warnings import overall_recognition, recognition_warnings
from app.summarize.request import Choice, Emit, StageProgress, Summary, SummaryDelta, SummaryRequest, WindowResult
from app.summarize.structured.output_format import with_spaces
from app.summarize.structured.schema_workers import SchemaWorkers
from app.workers.fair_scheduler import Requester
from app.workers.speech_detector import SpeechDetector


class AudioDecoder(Protocol):
    """What the path needs of `app.workers.decoder_pool.DecoderPool`."""

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester) -> DecodedAudio:
        """A file in, samples out. Raises ServiceError."""


class Summarizer:
    """Makes summaries with one model. At most `ENGINE__MAX_NUM_SEQS` answers are written at once; the rest wait.

    find: finds speech in place of the detector, in a recording as a whole; the event is set when nobody waits any more.
    """

    def __init__(
        self,
        settings: Settings,
        model: ModelInfo,
        engine: Engine,
        decoder: AudioDecoder,
        find_speech: Callable[[Samples, Event], list[Span]] | None = None,
        detector: SpeechDetector | None = None,
        schema_workers: SchemaWorkers | None = None,
    ) -> None:
        """schemas: what reads answers that follow a schema; its owner stops it."""
        self.settings = settings
        self.model = model
        self.engine = engine
        self.decoder = decoder
        self.find_speech = find_speech
        self.schema_workers = schema_workers or SchemaWorkers(settings.limits.schema_seconds)
        self.detector = detector or SpeechDetector()
        self.generator = TextGenerator(engine, settings.engine.max_num_seqs)
        self.limits = decode_limits(settings)

    def check_max_tokens(self, max_tokens: int | None) -> None:
        """Refuse what can be refused without the recording. Raises InvalidRequest (400)."""
        most = self.settings.limits.max_tokens
        if max_tokens is not None and max_tokens > most:
            raise InvalidRequest(
                f"max_tokens is {max_tokens}, the most is {most} ({setting_name('limits', 'max_tokens')}).",
                code="invalid_field",
                param="max_tokens",
            )

    async def summarize(self, request: SummaryRequest, emit: Emit) -> Summary:
        """Take one recording all the way. Raises ServiceError; "deadline_exceeded" if it takes too long."""
        request = request if self.model.trained else request.for_untrained_model()
        longest = request.timeout_s or self.settings.timeouts.request_seconds
        try:
            async with asyncio.timeout(longest - (time.perf_counter() - request.started_at)) as deadline:
                return await self._summarize(request, emit)
        except TimeoutError:
            if not deadline.expired():
                raise
            setting = (
                setting_name("jobs", "seconds") if request.timeout_s else setting_name("timeouts", "request_seconds")
            )
            raise Unavailable(
                f"The request took longer than {longest:g} seconds and was given up. The setting is {setting}.",
                code="deadline_exceeded",
            ) from None

    async def _summarize(self, request: SummaryRequest, emit: Emit) -> Summary:
        timings = {"receive": request.upload_seconds}
        emit(StageProgress("decode"))
        with _measure_stage(timings, "decode"):
            audio = await self.decoder.decode(request.audio, self.limits, _requester(request))
        with closing(audio):
            return await self._summarize_decoded(request, audio, timings, emit)

    async def _summarize_decoded(
        self, request: SummaryRequest, audio: DecodedAudio, timings: dict[str, float], emit: Emit
    ) -> Summary:
        request.audio.close()
        await request.on_decoded(audio.seconds)
        metrics.AUDIO_SECONDS_RECEIVED.inc(audio.seconds)
        metrics.AUDIO_DURATION.observe(audio.seconds)
        emit(StageProgress("speech"))
        with _measure_stage(timings, "speech"):
            detection = await self.detect_speech(audio.samples, _requester(request))
            speech = detection.spans
        schema, system = request.output_format.schema, SYSTEM_PROMPT
        if schema is not None and not self.model.trained:
            schema, system = with_spaces(schema), SYSTEM_FOR_DATA
        generation_request = GenerationRequest(
            request_id=request.id,
            samples=None,
            instruction=request.instruction,
            turns=request.turns,
            max_tokens=request.max_tokens
            or min(max(request.style.max_tokens, request.output_format.max_tokens), self.settings.limits.max_tokens),
            temperature=request.temperature,
            seed=request.seed,
            schema=schema,
            stop=request.stop,
            top_p=request.top_p,
            priority=request.priority,
            cache_salt=request.owner,
            adapter=request.adapter,
            instruction_for_language=(lambda tag: request.with_language(tag).instruction)
            if request.leaves_language_open
            else None,
            system=system,
        )
        reads: list[GeneratedSummary] = []
        if speech:
            generation_requests = [generation_request] + [
                replace(
                    generation_request,
                    request_id=f"{request.id}-{n}",
                    seed=None if request.seed is None else request.seed + n,
                )
                for n in range(1, request.choice_count)
            ]
            reads = await self._generate_summaries(generation_requests, audio.samples, request, speech, timings, emit)
        return await self._build_summary(request, generation_request, audio, detection, reads, timings)

    async def detect_speech(self, samples: Samples, requester: Requester) -> SpeechDetection:
        """Where somebody speaks in a recording, and what is to be said of that."""
        if self.find_speech is None:
            return await self.detector.detect(samples, requester)
        cancelled = Event()
        try:
            return SpeechDetection(await asyncio.to_thread(self.find_speech, samples, cancelled))
        finally:
            cancelled.set()

    async def _generate_summaries(
        self,
        generation_requests: list[GenerationRequest],
        samples: Samples,
        request: SummaryRequest,
        speech: list[Span],
        timings: dict[str, float],
        emit: Emit,
    ) -> list[GeneratedSummary]:
        """In one pass if the recording, or all speech in it, fits; else in windows, whose notes are made once."""
        begun: set[int] = set()

        def on_event(choice: int, event: EngineEvent) -> None:
            match event:
                case StageStarted(stage):
                    emit(StageProgress(f"engine_{stage}"))
                case TextDelta(text):
                    if choice not in begun:
                        metrics.FIRST_TOKEN_SECONDS.labels(self.model.kind).observe(
                            time.perf_counter() - request.started_at
                        )
                    begun.add(choice)
                    emit(SummaryDelta(text, choice))

        longest = self.settings.long.pass_seconds or self.model.max_pass_seconds
        longest = min(longest, self.model.max_seconds)
        parts = [Window(0.0, len(samples) / self.model.sampling_rate)]
        if parts[0].seconds > longest:
            longest = min(self.settings.long.window_seconds or self.model.note_seconds or longest, longest)
            parts = await asyncio.to_thread(split_into_windows, speech, longest, samples)
        if len(parts) == 1:
            emit(StageProgress("queue"))
            whole = await asyncio.to_thread(parts[0].extract, samples)
            written = await run_all(
                self.generator.generate(replace(one, samples=whole), partial(on_event, number))
                for number, one in enumerate(generation_requests)
            )
            heard = [WindowResult(parts[0], recognition=written[0].finished.recognition)]
            reads = [
                GeneratedSummary(one, heard, one.finished.prompt_tokens, one.finished.completion_tokens)
                for one in written
            ]
        else:
            noting_in = (
                (lambda tag: request.with_language(tag).note_instruction) if request.leaves_language_open else None
            )
            reader = LongAudioSummarizer(
                self.settings.long, self.generator, request.note_instruction, generation_requests, noting_in
            )
            with _measure_stage(timings, "long"):
                reads = await reader.summarize(samples, parts, emit, on_event)
        # The first one's times are told: several at once take theirs from each other.
        first = reads[0].final
        timings["queue"] = first.queue_seconds
        timings |= {f"engine_{stage}": seconds for stage, seconds in first.finished.stage_seconds.items()}
        return reads

    async def _build_summary(
        self,
        request: SummaryRequest,
        generation_request: GenerationRequest,
        audio: DecodedAudio,
        detection: SpeechDetection,
        reads: list[GeneratedSummary],
        timings: dict[str, float],
    ) -> Summary:
        warnings = [*audio.warnings, *detection.warnings]
        choices = [await self._build_choice(request, generation_request, read, warnings) for read in reads]
        choices = choices or [Choice("", "no_speech", [])]
        if choices[0].finish_reason == "no_speech":
            metrics.NO_SPEECH.inc()
        if choices[0].finish_reason == "not_understood":
            metrics.NOT_UNDERSTOOD.inc()
        heard = reads[0].window_results if reads else []
        windows = [one.window for one in heard]
        found = overall_recognition(heard)
        if found and choices[0].finish_reason != "no_speech":
            understood = choices[0].finish_reason != "not_understood"
            limits = self.settings.recognizer
            warnings += recognition_warnings(found, self.model, request.style.language, limits, understood=understood)
        missed = [one for one in detection.uncertain if not covers(windows, [one])]
        warnings += uncertain_speech_warnings(missed)
        timings["total"] = time.perf_counter() - request.started_at
        timings["overhead"] = _overhead_seconds(timings)
        summary = Summary(
            request=request,
            choices=choices,
            audio=audio,
            speech_seconds=speech_seconds(detection.spans),
            window_results=heard,
            complete=not missed
            and not audio.unread
            and (
                choices[0].finish_reason == "no_speech"
                or (covers(windows, detection.spans) and not (found and found.omitted_spans))
            ),
            encoder_windows=sum(count_encoder_windows(one.window.seconds, self.model.window_seconds) for one in heard),
            prompt_tokens=reads[0].prompt_tokens if reads else 0,
            completion_tokens=sum(read.completion_tokens for read in reads),
            timings=timings,
            warnings=list(dict.fromkeys(warnings)),
        )
        self._record_metrics(summary, sum(read.prompt_tokens for read in reads))
        return summary

    async def _build_choice(
        self,
        request: SummaryRequest,
        generation_request: GenerationRequest,
        read: GeneratedSummary,
        warnings: list[str],
    ) -> Choice:
        """The words of one reading; what is to be said of them goes to the warnings."""
        text, reason = read.final.text, read.final.finished.finish_reason
        warnings += [*read.warnings, *self._summary_warnings(request.style, generation_request, read)]
        notes = [one.note for one in read.window_results if one.note is not None]
        value: Any = None
        if generation_request.schema and text:
            value, fault = await self.schema_workers.parse_answer(
                text, generation_request.schema, own=not request.output_format.param
            )
            warnings += [fault] if fault else []
        return Choice(text, reason, cite(text, notes) if notes else [], value)

    def _record_metrics(self, summary: Summary, prompt_tokens: int) -> None:
        kind, timings = self.model.kind, summary.timings
        metrics.PROMPT_TOKENS.labels(kind).inc(prompt_tokens)
        metrics.OUTPUT_TOKENS.labels(kind).inc(summary.completion_tokens)
        for stage, seconds in timings.items():
            if stage not in ("total", "overhead"):
                metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        metrics.RTFX_RATIO.labels(kind).observe(summary.rtfx)

    def _summary_warnings(
        self, style: Style, generation_request: GenerationRequest, read: GeneratedSummary
    ) -> Iterator[str]:
        reason = read.final.finished.finish_reason
        if reason == "length":
            yield (
                f"The summary was stopped at {generation_request.max_tokens} tokens and may end in the middle of a "
                "sentence; "
                "ask for more with max_tokens."
            )
        if reason == "repetition":
            cut_off = "" if generation_request.schema else " A sentence that came again was cut off."
            yield f"The model began to repeat itself and was stopped.{cut_off}"
        if reason == "no_speech":
            yield "Someone may be speaking, but no word was understood."
        elif not read.final.text.strip() and reason != "not_understood":
            yield "The model wrote nothing about this recording."
        if style.language and not self.model.supports_language(style.language):
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


def _requester(request: SummaryRequest) -> Requester:
    return Requester(request.caller or request.owner, background=request.priority > 0)


def _overhead_seconds(timings: dict[str, float]) -> float:
    """What the service itself took: the whole, less its stages. The stages of the engine are part of `long`."""
    parts = {"receive", "decode", "speech", "long" if "long" in timings else "queue"}
    if "long" not in timings:
        parts |= {stage for stage in timings if stage.startswith("engine_")}
    return max(0.0, timings["total"] - sum(timings.get(stage, 0.0) for stage in parts))


@contextmanager
def _measure_stage(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - began
