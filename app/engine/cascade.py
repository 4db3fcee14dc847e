"""The engine of a cascade: Whisper writes a transcript in this process, and a text model in vLLM summarizes it.

Callers can tell it from an audio language model: its kind is "cascade" in the registry, in `GET /v1/models` and in
every response. Knows nothing about HTTP or codecs.
"""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from app.concurrency import SharedResult
from app.core.asr.confidence import FilteredTranscript, filter_transcript
from app.core.asr.settings import RecognizerSettings
from app.core.asr.whisper import WhisperTranscriber
from app.core.prompts import conversation_messages, notes_messages, transcript_messages
from app.core.text.sections import Section, split_into_sections, split_notes_into_sections
from app.engine.audio_llm import ChatModelEngine
from app.engine.base import EngineEvent, FinishReason, GenerationFinished, GenerationRequest, StageStarted
from app.engine.chat_request import ChatModel, Messages, SamplingOptions
from app.engine.sections import SectionPrompt, stream_sections

# Notes say in fewer words what was said: a section of notes has so many times the tokens of a transcript's section.
NOTE_SECTION_FACTOR = 4
FALLBACK_LANGUAGE = "en"  # language of the answer to an instruction that names none


class CascadeEngine(ChatModelEngine):
    """An `Engine` (see `app.engine.base`) of a speech recognizer and a text model.

    If the caller asks for no language, the summary is in the spoken language where the text model writes it, and in
    English otherwise.
    """

    def __init__(
        self,
        model: ChatModel,
        transcriber: WhisperTranscriber,
        limits: RecognizerSettings | None = None,
        languages: Sequence[str] = ("en",),
        section_tokens: int | None = None,
    ) -> None:
        """Create the engine without starting it.

        Args:
            model: The text model, in this process or behind servers.
            transcriber: The speech recognizer.
            limits: How confident the recognizer has to be of a segment.
            languages: BCP 47 tags of the languages that the text model writes.
            section_tokens: About how many tokens of a transcript the text model summarizes at once, where an answer may
                be written in sections. None for all of them.
        """
        super().__init__(model)
        self._transcriber = transcriber
        self._limits = limits or RecognizerSettings()
        self._languages = frozenset(primary_language(tag) for tag in languages)
        self._section_tokens = section_tokens
        self._transcribing = 0

    async def start(self) -> None:
        """Load both models and let the text model write one word.

        The service's own warm-up does not reach the text model, because the recognizer finds no word in its noise.
        """
        await self._transcriber.start()
        await super().start()
        messages = transcript_messages("Summarize.", "Hello.")
        async for _ in self._model.stream(messages, SamplingOptions(max_tokens=2), "cascade-start"):
            pass

    async def stop(self) -> None:
        """Free both models."""
        await self._transcriber.stop()
        await super().stop()

    @property
    def running_requests(self) -> int:
        """Number of requests inside the engine now, in either model."""
        return self._transcribing + super().running_requests

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Transcribe the samples, unless their transcript is known, and summarize it as the instruction says; or
        summarize the notes.

        If the recognizer understood nothing, the text model is not asked, because it would invent a summary. The
        request then ends with "no_speech" if the recognizer found no word, and with "not_understood" if it was not
        confident enough of any.
        """
        filtered: FilteredTranscript | None = None
        stages: dict[str, float] = {}
        samples, transcript = request.samples, request.known_transcript
        if samples is None and transcript is None:
            stream = self._summarize_notes(request)
        else:
            if transcript is None:
                assert samples is not None  # the caller gives one of the two
                started_at = time.perf_counter()
                self._transcribing += 1
                try:
                    yield StageStarted("transcribe")
                    shared = request.shared_transcript or SharedResult()
                    transcript = await shared.get(partial(self._transcriber.transcribe, samples, request.vocabulary))
                finally:
                    self._transcribing -= 1
                stages = {"transcribe": time.perf_counter() - started_at}
            filtered = filter_transcript(transcript, self._limits)
            if not filtered.text:
                reason: FinishReason = "not_understood" if filtered.recognition.omitted_spans else "no_speech"
                yield _add_transcription(GenerationFinished(reason, 0, 0), stages, filtered)
                return
            stream = self._summarize_transcript(request, filtered)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                if filtered is not None and isinstance(event, GenerationFinished):
                    event = _add_transcription(event, stages, filtered)
                yield event

    def _summarize_transcript(
        self, request: GenerationRequest, heard: FilteredTranscript
    ) -> AsyncGenerator[EngineEvent, None]:
        return self._summarize(
            request,
            heard.recognition.language,
            heard.text,
            lambda instruction, text: transcript_messages(instruction, text, request.system),
            lambda tokens, most: split_into_sections(heard.segments, tokens, most, self.count_tokens),
        )

    def _summarize_notes(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        return self._summarize(
            request,
            request.spoken_language,
            request.notes,
            lambda instruction, text: _flatten_contents(notes_messages(instruction, text, request.system)),
            lambda tokens, most: split_notes_into_sections(
                request.notes, tokens * NOTE_SECTION_FACTOR, most, self.count_tokens
            ),
        )

    def _summarize(
        self,
        request: GenerationRequest,
        language: str | None,
        material: str,
        make_messages: Callable[[str, str], Messages],
        divide: Callable[[int, int], list[Section]],
    ) -> AsyncGenerator[EngineEvent, None]:
        """Return the text model's answer: in one piece, or in sections if the request allows it.

        Args:
            request: The request.
            language: BCP 47 tag of the spoken language, if it is known.
            material: What the model reads.
            make_messages: Returns the messages for an instruction and material.
            divide: Returns the material in sections, for the tokens of a section and the most sections.
        """
        sampling, plan, sections = SamplingOptions.from_request(request), request.sections, []
        if plan is not None and self._section_tokens is not None:
            sections = divide(self._section_tokens, plan.max_sections)
        if plan is None or len(sections) < 2:
            instruction = self._with_spoken_language(request, language).instruction
            messages = conversation_messages(lambda text: make_messages(text, material), instruction, request.turns)
            return self._model.stream(messages, sampling, request.request_id)
        instruction = plan.instruction(len(sections), self._language_to_ask_for(request, language))
        if plan.total_tokens is not None:
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, plan.total_tokens // len(sections)))
        prompts = [
            SectionPrompt(
                make_messages(instruction, section.text), sampling, f"{request.request_id}-s{number}", section
            )
            for number, section in enumerate(sections, 1)
        ]
        return stream_sections(self._model, prompts, plan.separator)

    def _with_spoken_language(self, request: GenerationRequest, spoken_language: str | None) -> GenerationRequest:
        """Return the request with the spoken language in its instruction, if the caller asked for no language."""
        language = self._language_to_ask_for(request, spoken_language)
        if language is None or request.instruction_for_language is None:
            return request
        return replace(request, instruction=request.instruction_for_language(language))

    def _language_to_ask_for(self, request: GenerationRequest, spoken_language: str | None) -> str | None:
        """Return the BCP 47 tag of the spoken language if the answer is to be in it and the instruction has to say so.

        It has not if the caller asked for a language, if the text model does not write this one, or if it is the one
        that the model answers in anyway.
        """
        if request.instruction_for_language is None or spoken_language is None:
            return None
        language = primary_language(spoken_language)
        return spoken_language if language != FALLBACK_LANGUAGE and language in self._languages else None


def primary_language(tag: str) -> str:
    """Return the primary language subtag of a BCP 47 tag, without script and region, in lower case."""
    return tag.split("-")[0].lower()


def _flatten_contents(messages: Messages) -> Messages:
    """Return the messages with each list of text parts joined to one text, as templates of text models expect."""

    def join_parts(content: Any) -> str:
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    return [message | {"content": join_parts(message["content"])} for message in messages]


def _add_transcription(
    finished: GenerationFinished, stages: dict[str, float], transcript: FilteredTranscript
) -> GenerationFinished:
    """Return the event with the transcript, and with the seconds of the stages before its own."""
    return replace(
        finished,
        stage_seconds={**stages, **finished.stage_seconds},
        transcript=transcript.text,
        recognition=transcript.recognition,
        segments=transcript.segments,
    )
