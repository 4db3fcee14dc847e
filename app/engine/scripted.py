"""An engine without a model, which plays back a script with delays that can be set.

It is for tests (what the service does when an engine is slow, fails, dies, or when its caller leaves) and for load
ceilings (how many requests the service itself can carry). It keeps the promises of the protocol: it counts its
requests, ends an abandoned one at once, never writes more than `max_tokens`, and refuses what does not fit its context.
Knows nothing about HTTP, codecs or vLLM.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from app.core.asr.confidence import Recognition
from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.errors import EngineDead
from app.engine.base import (
    Adapter,
    EngineEvent,
    FinishReason,
    GenerationFinished,
    GenerationRequest,
    StageStarted,
    TextDelta,
)
from app.engine.chat_request import refusal_error

SCRIPT = ("A ", "scripted ", "summary ", "of ", "what ", "was ", "said.")


class ScriptedEngine:
    """An `Engine` (see `app.engine.base`) that writes `pieces`.

    Attributes:
        pieces: The texts to write, one token each, or a function that returns them for a request.
        context_tokens: Number of words that a prompt may have. Recordings always fit.
        start_s: Seconds that the start takes.
        prefill_s: Seconds before the first piece.
        piece_s: Seconds before each piece.
        transcript: If given, a "transcribe" stage comes first and the transcript is in `GenerationFinished`, as from a
            cascade, which reads a transcript that is known without that stage.
        recognition: The recognition in `GenerationFinished`, as from a cascade.
        segments: The segments in `GenerationFinished`, as from a cascade, or a function that returns them for a
            request.
        error: Raised by each request after `error_after` pieces.
        finish_reason: The finish reason of each request. None means "stop" or "length", as it happens.
        keep_requests: Whether each request is kept in `requests`, with its recording, for a test to read.
        requests: The requests so far.
        adapters: The adapters that are loaded.
        aborted: Number of requests that were abandoned.
        max_running: The highest number of requests that ran at once.
    """

    def __init__(
        self,
        pieces: Sequence[str] | Callable[[GenerationRequest], Sequence[str]] = SCRIPT,
        *,
        context_tokens: int = 8192,
        start_s: float = 0.0,
        prefill_s: float = 0.0,
        piece_s: float = 0.0,
        transcript: str | None = None,
        recognition: Recognition | None = None,
        segments: Sequence[TranscriptSegment] | Callable[[GenerationRequest], Sequence[TranscriptSegment]] = (),
        error: Exception | None = None,
        error_after: int = 0,
        finish_reason: FinishReason | None = None,
        keep_requests: bool = True,
    ) -> None:
        self.pieces = pieces
        self.context_tokens = context_tokens
        self.start_s, self.prefill_s, self.piece_s = start_s, prefill_s, piece_s
        self.transcript = transcript
        self.recognition = recognition
        self.segments = segments
        self.error, self.error_after = error, error_after
        self.finish_reason = finish_reason
        self.keep_requests = keep_requests
        self.requests: list[GenerationRequest] = []
        self.adapters: list[Adapter] = []
        self.aborted = 0
        self.max_running = 0
        self._running = 0
        self._dead = False
        self._started = False

    async def start(self) -> None:
        """Wait for `start_s` seconds. An engine that died lives again."""
        await asyncio.sleep(self.start_s)
        self._dead = False
        self._started = True

    async def stop(self) -> None:
        """Refuse requests from now on."""
        self._started = False

    def die(self) -> None:
        """Make the engine dead: running and later requests raise `EngineDead`."""
        self._dead = True

    async def check_health(self) -> None:
        """Raise `EngineDead` after `die`."""
        if self._dead:
            raise EngineDead("The engine died.", code="engine_dead")

    @property
    def running_requests(self) -> int:
        """Number of requests inside the engine now."""
        return self._running

    def count_tokens(self, text: str) -> int:
        """Return the number of words of a text."""
        return len(text.split())

    async def add_adapter(self, adapter: Adapter) -> None:
        """Add an adapter to `adapters`."""
        self.adapters.append(adapter)

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Remove an adapter from `adapters`."""
        self.adapters.remove(adapter)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        """Play the script back: stages, text and `GenerationFinished`, as `app.engine.base.Engine.generate` says."""
        if not self._started:
            raise EngineDead("The engine is not started.", code="engine_dead")
        if request.adapter is not None and request.adapter not in self.adapters:
            raise refusal_error(f"the adapter {request.adapter.name} is not loaded", self.context_tokens)
        if self.keep_requests:
            self.requests.append(request)
        self._running += 1
        self.max_running = max(self.max_running, self._running)
        finished = False
        try:
            async for event in self._play(request):
                finished = isinstance(event, GenerationFinished)
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self.aborted += not finished
            raise
        finally:
            self._running -= 1

    async def _play(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        seconds: dict[str, float] = {}
        pieces = self.pieces(request) if callable(self.pieces) else self.pieces
        known = request.known_transcript
        segments = self._segments_of(request)
        sample_count = 0 if request.samples is None else len(request.samples)
        conversation = " ".join(f"{turn.question} {turn.answer}" for turn in request.turns)
        words = self.count_tokens(f"{request.notes} {request.instruction} {conversation}")
        if words > self.context_tokens:
            raise refusal_error(f"the prompt's {words} words are longer than the context length", self.context_tokens)
        if self.transcript is not None and request.samples is not None:
            yield StageStarted("transcribe")
            seconds["transcribe"] = 0.0
            if request.shared_transcript is not None:
                await request.shared_transcript.get(partial(self._transcribe, self.transcript, request))
        yield StageStarted("prefill")
        started_at = time.perf_counter()
        await self._pause(self.prefill_s)
        seconds["prefill"] = time.perf_counter() - started_at
        yield StageStarted("decode")
        started_at = time.perf_counter()
        before_stop = _pieces_before_stop(pieces, request.stop)
        written = before_stop[: request.max_tokens]
        is_whole = len(before_stop) < len(pieces) or len(written) == len(before_stop)
        for index, piece in enumerate(written):
            if self.error is not None and index >= self.error_after:
                raise self.error
            await self._pause(self.piece_s)
            yield TextDelta(piece)
        if self.error is not None:
            raise self.error
        seconds["decode"] = time.perf_counter() - started_at
        yield GenerationFinished(
            finish_reason=self.finish_reason or ("stop" if is_whole else "length"),
            prompt_tokens=25 * sample_count // 16_000 + words,
            completion_tokens=len(written),
            stage_seconds=seconds,
            token_ids=tuple(range(len(written))),
            transcript=self.transcript if known is None else known.text,
            recognition=None if request.samples is None and known is None else self.recognition,
            segments=segments,
        )

    def _segments_of(self, request: GenerationRequest) -> tuple[TranscriptSegment, ...]:
        if request.known_transcript is not None:
            return request.known_transcript.segments
        if request.samples is None:
            return ()
        return tuple(self.segments(request) if callable(self.segments) else self.segments)

    async def _transcribe(self, text: str, request: GenerationRequest) -> Transcript:
        language = self.recognition.language if self.recognition else "en"
        seconds = 0.0 if request.samples is None else len(request.samples) / 16_000
        whole = (TranscriptSegment(0.0, seconds, text, -0.2, 1.0, 0.0),)
        return Transcript(self._segments_of(request) or whole, language)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.check_health()


def _pieces_before_stop(pieces: Sequence[str], stop: tuple[str, ...]) -> Sequence[str]:
    """Return the pieces before the first one that contains a stop text."""
    return list(itertools.takewhile(lambda piece: not any(text in piece for text in stop), pieces))
