"""The path of a request: recording → samples → speech detection → windows → engine → summary.

`Summarizer.summarize` is a coroutine that reports its progress by calling `emit` and returns the whole `Summary`. A
recording that fits the model's longest pass is read in one pass; a longer one is read in windows
(`app.summarize.long_audio`). A recording that an earlier request has kept is read without being decoded. Cancelling the
coroutine cancels the decoding and aborts the engine's requests. Knows nothing about HTTP or codecs, nor how an engine
works.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import Event
from typing import BinaryIO, Protocol

from app import metrics
from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import Samples
from app.core.audio.vad import Span
from app.core.audio.vad_second_pass import SpeechDetection
from app.core.errors import InvalidRequest, Unavailable
from app.core.prompts import SYSTEM_PROMPT, UNTRAINED_STRUCTURED_SYSTEM_PROMPT
from app.engine.base import Engine, GenerationRequest
from app.engine.model_info import ModelInfo
from app.recordings.content import RecordingContent
from app.settings import Settings, setting_name
from app.summarize.candidates import (
    CHOOSING_STAGE,
    SAMPLING_STAGE,
    AnswerGenerator,
    CandidateChooser,
    requests_for_candidates,
    requests_for_choices,
)
from app.summarize.decode_limits import decode_limits
from app.summarize.generation import GeneratedSummary, TextGenerator
from app.summarize.keep_recording import check_readable, keep_recording
from app.summarize.questions import QUESTIONS_STAGE, GeneratedAnswer, answer_questions, build_questions
from app.summarize.recording_reader import RecordingReader
from app.summarize.recording_windows import open_windows
from app.summarize.request import Emit, StageProgress, Summary, SummaryRequest
from app.summarize.sections import summary_sections
from app.summarize.structured.output_format import with_spaces
from app.summarize.structured.schema_workers import SchemaWorkers
from app.summarize.summary_builder import SummaryBuilder
from app.summarize.templates import CHOICE_STAGE, TemplateChoice, choose_template
from app.telemetry.tracing import start_span
from app.workers.fair_scheduler import Requester
from app.workers.speech_detector import SpeechDetector


class AudioDecoder(Protocol):
    """The part of `app.workers.decoder_pool.DecoderPool` that the path uses."""

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester) -> DecodedAudio:
        """Decode a recording. Raises ServiceError if it cannot be decoded or exceeds the limits."""


class Summarizer:
    """Makes summaries with one model. At most `ENGINE__MAX_NUM_SEQS` answers are generated at once; the rest wait."""

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
        """Create the path of one model's requests.

        Args:
            settings: The service's settings.
            model: The facts about the model.
            engine: The model's engine, started.
            decoder: Decodes recordings.
            find_speech: Finds speech instead of the detector, in a whole recording. Its event is set when nobody waits
                for the result any more.
            detector: The speech detector. None makes one of its own.
            schema_workers: Read answers that follow a schema. Whoever passes them stops them.
        """
        self.settings = settings
        self.model = model
        self.engine = engine
        self.decoder = decoder
        self.find_speech = find_speech
        self.detector = detector or SpeechDetector()
        self.generator = TextGenerator(engine, settings.engine.max_num_seqs, model.id)
        self.limits = decode_limits(settings)
        schema_workers = schema_workers or SchemaWorkers(settings.limits.schema_seconds)
        self.candidate_chooser = CandidateChooser(schema_workers)
        self.summary_builder = SummaryBuilder(model, settings.recognizer, schema_workers)

    def check_max_tokens(self, max_tokens: int | None) -> None:
        """Raise InvalidRequest (400) if a request asks for more tokens than the settings allow."""
        limit = self.settings.limits.max_tokens
        if max_tokens is not None and max_tokens > limit:
            raise InvalidRequest(
                f"max_tokens is {max_tokens}, and the limit is {limit} ({setting_name('limits', 'max_tokens')}).",
                code="invalid_field",
                param="max_tokens",
            )

    async def summarize(self, request: SummaryRequest, emit: Emit) -> Summary:
        """Summarize one recording. `emit` is called with each stage and each piece of text.

        Raises ServiceError; its code is "deadline_exceeded" if the request takes too long.
        """
        request = request if self.model.trained else request.for_untrained_model()
        limit = request.timeout_s or self.settings.timeouts.request_seconds
        try:
            async with asyncio.timeout(limit - (time.perf_counter() - request.started_at)) as deadline:
                return await self._summarize(request, emit)
        except TimeoutError:
            if not deadline.expired():
                raise
            setting = (
                setting_name("jobs", "seconds") if request.timeout_s else setting_name("timeouts", "request_seconds")
            )
            raise Unavailable(
                f"The request took longer than {limit:g} seconds and was given up. The setting is {setting}.",
                code="deadline_exceeded",
            ) from None

    def check_readable(self, content: RecordingContent) -> None:
        """Raise Conflict (409) if this model cannot read a kept recording."""
        check_readable(content, self.model, self.settings.long)

    async def _summarize(self, request: SummaryRequest, emit: Emit) -> Summary:
        timings = {"receive": request.upload_seconds}
        with ExitStack() as resources:
            if request.kept is None:
                content = await self._decode(request, timings, emit)
                resources.callback(content.close)
            else:
                content = request.kept.content
                if content.transcripts is None:  # the model hears it once more
                    await request.on_decoded(content.audio.seconds)
            summary, reader = await self._read(request, content, timings, emit)
            summary, samples_kept = keep_recording(summary, content, reader, self.model, self.settings.recordings)
            if samples_kept:
                resources.pop_all()  # the store closes them
            return summary

    async def _decode(self, request: SummaryRequest, timings: dict[str, float], emit: Emit) -> RecordingContent:
        """Return the recording of a request, decoded, with the speech in it. The caller closes it."""
        emit(StageProgress("decode"))
        with _measure_stage(timings, "decode"):
            audio = await self.decoder.decode(request.audio, self.limits, _requester(request))
        try:
            request.audio.close()
            await request.on_decoded(audio.seconds)
            metrics.AUDIO_SECONDS_RECEIVED.inc(audio.seconds)
            metrics.AUDIO_DURATION.observe(audio.seconds)
            emit(StageProgress("speech"))
            with _measure_stage(timings, "speech"):
                detection = await self.detect_speech(audio.samples, _requester(request))
            return RecordingContent(audio, detection)
        except BaseException:
            audio.close()
            raise

    async def _read(
        self, request: SummaryRequest, content: RecordingContent, timings: dict[str, float], emit: Emit
    ) -> tuple[Summary, RecordingReader | None]:
        """Return the summary, and what has read the recording for it; None if nobody speaks."""
        request = replace(request, background=request.background.with_vocabulary(await request.find_vocabulary()))
        windows = await open_windows(content, self.settings.long, self.model) if content.detection.spans else None
        template_choice = TemplateChoice(request)
        if windows is not None and request.template_candidates:
            emit(StageProgress(CHOICE_STAGE))
            with _measure_stage(timings, CHOICE_STAGE):
                template_choice = await choose_template(request, windows, self.generator, self.model)
            request = template_choice.request
        generation_request = self._build_generation_request(request)
        questions = build_questions(request, self._build_generation_request)
        generated: list[GeneratedSummary] = []
        reader: RecordingReader | None = None
        if windows is not None:
            later = [question.generation_request for question in questions]
            reader = RecordingReader(self.settings.long, self.generator, request, windows, later)
            generated = await self._generate_summaries(generation_request, reader, request, timings, emit)
            # The times are those of the first choice, because choices that run at once slow each other down.
            first = generated[0].final
            timings["queue"] = first.queue_seconds
            timings |= {f"engine_{stage}": seconds for stage, seconds in first.finished.stage_seconds.items()}
        answers: list[GeneratedAnswer] = []
        if questions:
            with _measure_stage(timings, QUESTIONS_STAGE):
                answers = await answer_questions(
                    questions, reader, can_say_what_it_heard=self.model.has_transcript, emit=emit
                )
        summary = await self.summary_builder.build(request, generation_request, content, generated, timings, answers)
        return template_choice.add_to(summary), reader

    def _build_generation_request(self, request: SummaryRequest) -> GenerationRequest:
        """Return what the engine is asked, still without the samples."""
        schema, system = request.output_format.schema, SYSTEM_PROMPT
        if schema is not None and not self.model.trained:
            schema, system = with_spaces(schema), UNTRAINED_STRUCTURED_SYSTEM_PROMPT
        return GenerationRequest(
            request_id=request.id,
            samples=None,
            instruction=request.prompt,
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
            instruction_for_language=(lambda tag: request.with_language(tag).prompt)
            if request.leaves_language_open
            else None,
            system=request.background.extend_system(system),
            vocabulary=request.background.vocabulary,
            sections=summary_sections(request),
        )

    async def detect_speech(self, samples: Samples, requester: Requester) -> SpeechDetection:
        """Return where somebody speaks in a recording, and the warnings about it."""
        if self.find_speech is None:
            return await self.detector.detect(samples, requester)
        cancelled = Event()
        try:
            return SpeechDetection(await asyncio.to_thread(self.find_speech, samples, cancelled))
        finally:
            cancelled.set()

    async def _generate_summaries(
        self,
        generation_request: GenerationRequest,
        reader: RecordingReader,
        request: SummaryRequest,
        timings: dict[str, float],
        emit: Emit,
    ) -> list[GeneratedSummary]:
        """Return one answer per choice, or with the effort "high" the best of several candidates."""
        answers = AnswerGenerator(self.generator, request, self.model, emit)
        if not request.is_sampled:
            requests = requests_for_choices(generation_request, request.choice_count)
            return await _measure_reading(reader, requests, timings, emit, answers)
        with _measure_stage(timings, SAMPLING_STAGE):
            requests = requests_for_candidates(generation_request, self.settings.effort)
            candidates = await _measure_reading(reader, requests, timings, emit, answers)
        emit(StageProgress(CHOOSING_STAGE))
        with _measure_stage(timings, CHOOSING_STAGE):
            chosen = await self.candidate_chooser.choose(request, generation_request, candidates)
        if chosen.final.text:
            answers.report_text(chosen.final.text)
        return [chosen]


async def _measure_reading(
    reader: RecordingReader,
    requests: list[GenerationRequest],
    timings: dict[str, float],
    emit: Emit,
    answers: AnswerGenerator,
) -> list[GeneratedSummary]:
    if not reader.is_long:
        return await reader.read(requests, emit, answers.generate_all)
    with _measure_stage(timings, "long"):
        return await reader.read(requests, emit, answers.generate_all)


def _requester(request: SummaryRequest) -> Requester:
    return Requester(request.caller or request.owner, background=request.priority > 0)


@contextmanager
def _measure_stage(timings: dict[str, float], stage: str) -> Iterator[None]:
    started_at = time.perf_counter()
    with start_span(stage):
        yield
    timings[stage] = time.perf_counter() - started_at
