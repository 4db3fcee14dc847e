"""The last step of a request's path: from what the model wrote to the `Summary` with its warnings, citations and times.

Knows nothing about how the audio was decoded or how an engine works.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from app import metrics
from app.core.asr.settings import RecognizerSettings
from app.core.audio.vad import count_encoder_windows
from app.core.audio.vad_second_pass import uncertain_speech_warnings
from app.core.audio.windows import covers
from app.core.prompts import Style, language_name
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.recordings.content import RecordingContent
from app.summarize.generation import GeneratedSummary
from app.summarize.questions import QUESTIONS_STAGE, GeneratedAnswer
from app.summarize.recognition_warnings import overall_recognition, recognition_warnings
from app.summarize.request import Choice, Summary, SummaryRequest
from app.summarize.structured.schema_workers import SchemaWorkers
from app.summarize.templates import CHOICE_STAGE
from app.summarize.unsupported_spans import find_unsupported_spans, unsupported_warnings


class SummaryBuilder:
    """Builds the summaries of one model.

    limits: below which confidence the caller is warned of a cascade's transcript. schema_workers: read the answers that
    follow a schema.
    """

    def __init__(self, model: ModelInfo, limits: RecognizerSettings, schema_workers: SchemaWorkers) -> None:
        self.model = model
        self.limits = limits
        self.schema_workers = schema_workers

    async def build(
        self,
        request: SummaryRequest,
        generation_request: GenerationRequest,
        content: RecordingContent,
        generated: Sequence[GeneratedSummary],
        timings: dict[str, float],
        answers: Sequence[GeneratedAnswer] = (),
    ) -> Summary:
        """Return the finished summary and count it in the metrics.

        Args:
            request: The request.
            generation_request: What the engine was asked for the first choice, without its samples.
            content: The decoded recording.
            generated: One answer per choice; empty if the recording has no speech.
            timings: Seconds by stage until now; "total" and "overhead" are added.
            answers: The answers to the request's questions.
        """
        audio, detection = content.audio, content.detection
        warnings = [*audio.warnings, *detection.warnings, *self._earlier_recognition_warnings(request, content)]
        choices = [await self._build_choice(request, generation_request, one, warnings) for one in generated]
        choices = choices or [Choice("", "no_speech", [], None, [] if self.model.has_transcript else None)]
        reason = choices[0].finish_reason
        if reason == "no_speech":
            metrics.NO_SPEECH.inc()
        if reason == "not_understood":
            metrics.NOT_UNDERSTOOD.inc()
        window_results = generated[0].window_results if generated else []
        windows = [one.window for one in window_results]
        recognition = overall_recognition(window_results)
        if recognition and not content.was_heard_with(request.background.vocabulary):
            recognition = replace(recognition, unused_terms=0)  # those of the request that kept the recording
        if recognition and reason != "no_speech":
            warnings += recognition_warnings(
                recognition, self.model, request.style.language, self.limits, understood=reason != "not_understood"
            )
        unread_spans = [span for span in detection.uncertain if not covers(windows, [span])]
        warnings += uncertain_speech_warnings(unread_spans)
        warnings += [warning for one in answers for warning in one.warnings]
        all_speech_read = reason == "no_speech" or (
            covers(windows, detection.spans) and not (recognition and recognition.omitted_spans)
        )
        answer_prompt_tokens = sum(one.prompt_tokens for one in answers)
        timings["total"] = time.perf_counter() - request.started_at
        timings["overhead"] = _overhead_seconds(timings)
        summary = Summary(
            request=request,
            choices=choices,
            audio=audio,
            speech_spans=detection.spans,
            window_results=window_results,
            complete=not unread_spans and not audio.unread and all_speech_read,
            encoder_windows=0
            if content.transcripts is not None
            else sum(count_encoder_windows(one.seconds, self.model.window_seconds) for one in windows),
            prompt_tokens=sum(one.prompt_tokens for one in generated[:1]) + answer_prompt_tokens,
            completion_tokens=sum(one.completion_tokens for one in generated)
            + sum(one.completion_tokens for one in answers),
            timings=timings,
            warnings=list(dict.fromkeys(warnings)),
            answers=[one.answer for one in answers],
            kept=request.kept,
        )
        self._record_metrics(summary, sum(one.prompt_tokens for one in generated) + answer_prompt_tokens)
        return summary

    def _earlier_recognition_warnings(self, request: SummaryRequest, content: RecordingContent) -> Iterator[str]:
        if content.transcripts and content.model != self.model.id:
            yield f"What is said in the recording was recognized by {content.model}, when the recording was kept."
        unheard = set(request.background.vocabulary) - set(content.vocabulary)
        if unheard and not content.was_heard_with(request.background.vocabulary):
            yield (
                "The recording was heard when it was kept, with another vocabulary than this request's: the recognizer "
                f"did not listen for {len(unheard)} of these terms, which only the model's instruction has."
            )

    async def _build_choice(
        self,
        request: SummaryRequest,
        generation_request: GenerationRequest,
        generated: GeneratedSummary,
        warnings: list[str],
    ) -> Choice:
        """Return one answer as a choice, and append its warnings to `warnings`."""
        text, reason = generated.final.text, generated.final.finished.finish_reason
        warnings += [*generated.warnings, *self._choice_warnings(request.style, generation_request, generated)]
        value: Any = None
        if generation_request.schema and text:
            value, fault = await self.schema_workers.parse_answer(
                text, generation_request.schema, own=not request.output_format.param
            )
            warnings += [fault] if fault else []
        unsupported = await find_unsupported_spans(request, generated, is_json=generation_request.schema is not None)
        warnings += unsupported_warnings(unsupported or [])
        return Choice(text, reason, generated.citations, value, unsupported)

    def _choice_warnings(
        self, style: Style, generation_request: GenerationRequest, generated: GeneratedSummary
    ) -> Iterator[str]:
        reason = generated.final.finished.finish_reason
        if reason == "length":
            yield (
                f"The summary was stopped at {generation_request.max_tokens} tokens and may end in the middle of a "
                "sentence; ask for more with max_tokens."
            )
        if reason == "repetition":
            cut_off = "" if generation_request.schema else " A sentence that came again was cut off."
            yield f"The model began to repeat itself and was stopped.{cut_off}"
        if reason == "no_speech":
            yield "Someone may be speaking, but no word was understood."
        elif not generated.final.text.strip() and reason != "not_understood":
            yield "The model wrote nothing about this recording."
        if style.language and not self.model.supports_language(style.language):
            trained = ", ".join(language_name(tag) for tag in self.model.languages)
            requested = language_name(style.language)
            yield f"{self.model.id} was not trained to write {requested}; it was trained on {trained}."

    def _record_metrics(self, summary: Summary, prompt_tokens: int) -> None:
        kind, timings = self.model.kind, summary.timings
        metrics.PROMPT_TOKENS.labels(kind).inc(prompt_tokens)
        metrics.OUTPUT_TOKENS.labels(kind).inc(summary.completion_tokens)
        for stage, seconds in timings.items():
            if stage not in ("total", "overhead"):
                metrics.observe_stage(stage, self.model.id, seconds)
        if summary.request.kept is None:  # a kept recording would make the service look faster than it is
            metrics.RTFX_RATIO.labels(kind).observe(summary.rtfx)


def _overhead_seconds(timings: dict[str, float]) -> float:
    """Return the seconds that belong to no stage.

    The engine's stages are part of `long`, and that is part of `sampling`, if there are such stages.
    """
    stages = {"receive", "decode", "speech", CHOICE_STAGE, "choosing", QUESTIONS_STAGE}
    if whole := [stage for stage in ("sampling", "long") if stage in timings]:
        stages.add(whole[0])
    else:
        stages |= {stage for stage in timings if stage == "queue" or stage.startswith("engine_")}
    return max(0.0, timings["total"] - sum(timings.get(stage, 0.0) for stage in stages))
