"""A cascade: Whisper writes a transcript in this process, a text model in vLLM summarizes it.

It says so itself: its kind is "cascade" in the registry, in `GET /v1/models` and in every answer.
"""

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from app.core.asr.confidence import FilteredTranscript, filter_transcript
from app.core.asr.settings import RecognizerSettings
from app.core.asr.whisper import WhisperTranscriber
from app.core.prompts import conversation_messages, transcript_messages
from app.engine.audio_llm import ChatModelEngine
from app.engine.base import EngineEvent, FinishReason, GenerationFinished, GenerationRequest, StageStarted
from app.engine.chat_request import ChatModel, Messages, SamplingOptions, build_messages

FALLBACK_LANGUAGE = "en"  # what an instruction that names no language is answered in


class CascadeEngine(ChatModelEngine):
    """An `Engine` of two models (see `app.engine.base`); the second is in this process or behind servers.

    limits: how sure the first has to be. languages: BCP 47 tags of those that the second writes. A caller who asks for
    no language gets the one that is spoken, if it is among them, else English.
    """

    def __init__(
        self,
        core: ChatModel,
        transcriber: WhisperTranscriber,
        limits: RecognizerSettings | None = None,
        languages: Sequence[str] = ("en",),
    ) -> None:
        super().__init__(core)
        self._transcriber = transcriber
        self._limits = limits or RecognizerSettings()
        self._languages = frozenset(primary_language(tag) for tag in languages)
        self._transcribing = 0

    async def start(self) -> None:
        """Load both models and let the second write a word: the service's warm-up is noise, in which the first finds
        none.
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
        """Requests inside the engine now, transcribing or writing."""
        return self._transcribing + super().running_requests

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Transcribe the samples, then summarize the transcript as the instruction says; or the notes, as they are.

        A recording of which nothing is understood never reaches the text model, which would make a summary up: it ends
        with "no_speech" where the recognizer found no word, with "not_understood" where it was too unsure of all.
        """
        heard: tuple[float, FilteredTranscript] | None = None
        if request.samples is None:
            messages = _flatten_contents(build_messages(self._with_spoken_language(request, request.spoken_language)))
        else:
            began = time.perf_counter()
            self._transcribing += 1
            try:
                yield StageStarted("transcribe")
                transcript = await self._transcriber.transcribe(request.samples)
            finally:
                self._transcribing -= 1
            understood = filter_transcript(transcript, self._limits)
            heard = time.perf_counter() - began, understood
            if not understood.text:
                reason: FinishReason = "not_understood" if understood.recognition.omitted_spans else "no_speech"
                yield _add_transcription(GenerationFinished(reason, 0, 0), "transcribe", *heard)
                return
            asked = self._with_spoken_language(request, understood.recognition.language)
            messages = conversation_messages(
                lambda text: transcript_messages(text, understood.text, asked.system), asked.instruction, request.turns
            )
        stream = self._model.stream(messages, SamplingOptions.from_request(request), request.request_id)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield (
                    _add_transcription(event, "transcribe", *heard)
                    if heard and isinstance(event, GenerationFinished)
                    else event
                )

    def _with_spoken_language(self, request: GenerationRequest, spoken: str | None) -> GenerationRequest:
        """The request with the language that is spoken in its instruction, where the caller left it open."""
        if request.instruction_for_language is None or spoken is None or primary_language(spoken) == FALLBACK_LANGUAGE:
            return request
        if primary_language(spoken) not in self._languages:
            return request
        return replace(request, instruction=request.instruction_for_language(spoken))


def primary_language(tag: str) -> str:
    """The language of a BCP 47 tag, without script and region."""
    return tag.split("-")[0].lower()


def _flatten_contents(messages: Messages) -> Messages:
    """Messages whose contents are texts and not lists of parts, as the templates of text models expect."""

    def join_parts(content: Any) -> str:
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    return [message | {"content": join_parts(message["content"])} for message in messages]


def _add_transcription(
    finished: GenerationFinished, name: str, seconds: float, understood: FilteredTranscript
) -> GenerationFinished:
    """`Finished` with a stage before it, and what that stage understood."""
    return replace(
        finished,
        stage_seconds={name: seconds, **finished.stage_seconds},
        transcript=understood.text,
        recognition=understood.recognition,
    )
