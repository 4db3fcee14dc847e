"""A cascade: Whisper writes a transcript in this process, a text model in vLLM summarizes it.

It says so itself: its kind is "cascade" in the registry, in `GET /v1/models` and in every answer.
"""

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from app.core.asr.confidence import Understood, judge
from app.core.asr.whisper import Transcriber
from app.core.prompts import transcript_messages, with_turns
from app.engine.audio_llm import OnCore
from app.engine.base import EngineEvent, Finished, FinishReason, Generation, StageStarted
from app.engine.chat_request import Core, Messages, Sampling, messages_of
from app.settings import RecognizerSettings

ENGLISH = "en"  # what an instruction that names no language is answered in


class CascadeEngine(OnCore):
    """An `Engine` of two models (see `app.engine.base`); the second is in this process or behind servers.

    limits: how sure the first has to be. languages: BCP 47 tags of those that the second writes. A caller who asks for
    no language gets the one that is spoken, if it is among them, else English.
    """

    def __init__(
        self,
        core: Core,
        transcriber: Transcriber,
        limits: RecognizerSettings | None = None,
        languages: Sequence[str] = ("en",),
    ) -> None:
        super().__init__(core)
        self._transcriber = transcriber
        self._limits = limits or RecognizerSettings()
        self._languages = frozenset(primary(tag) for tag in languages)
        self._transcribing = 0

    async def start(self) -> None:
        """Load both models and let the second write a word: the service's warm-up is noise, in which the first finds
        none.
        """
        await self._transcriber.start()
        await super().start()
        messages = transcript_messages("Summarize.", "Hello.")
        async for _ in self._core.stream(messages, Sampling(max_tokens=2), "cascade-start"):
            pass

    async def stop(self) -> None:
        """Free both models."""
        await self._transcriber.stop()
        await super().stop()

    @property
    def running(self) -> int:
        """Requests inside the engine now, transcribing or writing."""
        return self._transcribing + super().running

    async def generate(self, request: Generation) -> AsyncGenerator[EngineEvent, None]:
        """Transcribe the samples, then summarize the transcript as the instruction says; or the notes, as they are.

        A recording of which nothing is understood never reaches the text model, which would make a summary up: it ends
        with "no_speech" where the recognizer found no word, with "not_understood" where it was too unsure of all.
        """
        heard: tuple[float, Understood] | None = None
        if request.samples is None:
            messages = _texts(messages_of(self._in_language(request, request.spoken)))
        else:
            began = time.perf_counter()
            self._transcribing += 1
            try:
                yield StageStarted("transcribe")
                transcript = await self._transcriber.transcribe(request.samples)
            finally:
                self._transcribing -= 1
            understood = judge(transcript, self._limits)
            heard = time.perf_counter() - began, understood
            if not understood.text:
                reason: FinishReason = "not_understood" if understood.certainty.left_out else "no_speech"
                yield _with_stage(Finished(reason, 0, 0), "transcribe", *heard)
                return
            asked = self._in_language(request, understood.certainty.language)
            messages = with_turns(
                lambda text: transcript_messages(text, understood.text), asked.instruction, request.turns
            )
        stream = self._core.stream(messages, Sampling.of(request), request.request_id)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield _with_stage(event, "transcribe", *heard) if heard and isinstance(event, Finished) else event

    def _in_language(self, request: Generation, spoken: str | None) -> Generation:
        """The request with the language that is spoken in its instruction, where the caller left it open."""
        if request.instruction_in is None or spoken is None or primary(spoken) == ENGLISH:
            return request
        if primary(spoken) not in self._languages:
            return request
        return replace(request, instruction=request.instruction_in(spoken))


def primary(tag: str) -> str:
    """The language of a BCP 47 tag, without script and region."""
    return tag.split("-")[0].lower()


def _texts(messages: Messages) -> Messages:
    """Messages whose contents are texts and not lists of parts, as the templates of text models expect."""

    def joined(content: Any) -> str:
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    return [message | {"content": joined(message["content"])} for message in messages]


def _with_stage(finished: Finished, name: str, seconds: float, understood: Understood) -> Finished:
    """`Finished` with a stage before it, and what that stage understood."""
    return replace(
        finished,
        stage_seconds={name: seconds, **finished.stage_seconds},
        transcript=understood.text,
        recognition=understood.certainty,
    )
