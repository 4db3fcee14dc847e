"""An engine without a model: plays back a script with settable delays.

For tests (what the service does when an engine is slow, fails, dies or is left) and for load ceilings (what the service
alone can carry). It keeps the protocol's promises: counts what runs, ends an abandoned request at once, never writes
past `max_tokens`, refuses what does not fit its context. Knows nothing about HTTP, codecs or vLLM.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence

from app.core.asr.confidence import Recognition
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
    """Writes `pieces`, one token each; given a function, what it makes of the request.

    context_tokens: room for a prompt's words, a token each; recordings always fit.
    start_s, prefill_s, piece_s: seconds before the engine is up, before the first piece and before each piece.
    transcript: where given, a "transcribe" stage comes first and the transcript is in `Finished`, as from a cascade.
    recognition: in the same `Finished`, how a cascade's recognizer heard the recording.
    error: raised by each request after `error_after` pieces. reason: how each ends, if not by its length.
    keep_requests: whether each request stays in `requests`, recording and all, which a test looks at.
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
        await asyncio.sleep(self.start_s)
        self._started = True

    async def stop(self) -> None:
        self._started = False

    def die(self) -> None:
        """From here on the engine is dead: running and coming requests raise `EngineDead`."""
        self._dead = True

    async def check_health(self) -> None:
        if self._dead:
            raise EngineDead("The engine died. Restart the service.", code="engine_dead")

    @property
    def running_requests(self) -> int:
        return self._running

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def add_adapter(self, adapter: Adapter) -> None:
        self.adapters.append(adapter)

    async def remove_adapter(self, adapter: Adapter) -> None:
        self.adapters.remove(adapter)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
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
        heard = 0 if request.samples is None else len(request.samples)
        earlier = " ".join(f"{turn.question} {turn.answer}" for turn in request.turns)
        words = self.count_tokens(f"{request.notes} {request.instruction} {earlier}")
        if words > self.context_tokens:
            raise refusal_error(f"the prompt's {words} words are longer than the context length", self.context_tokens)
        if self.transcript is not None and request.samples is not None:
            yield StageStarted("transcribe")
            seconds["transcribe"] = 0.0
        yield StageStarted("prefill")
        began = time.perf_counter()
        await self._pause(self.prefill_s)
        seconds["prefill"] = time.perf_counter() - began
        yield StageStarted("decode")
        began = time.perf_counter()
        written = _pieces_before_stop(pieces, request.stop)
        stopped = len(written) < len(pieces)
        written, whole = written[: request.max_tokens], len(written)
        for index, piece in enumerate(written):
            if self.error is not None and index >= self.error_after:
                raise self.error
            await self._pause(self.piece_s)
            yield TextDelta(piece)
        if self.error is not None:
            raise self.error
        seconds["decode"] = time.perf_counter() - began
        yield GenerationFinished(
            finish_reason=self.finish_reason or ("stop" if stopped or len(written) == whole else "length"),
            prompt_tokens=25 * heard // 16_000 + words,
            completion_tokens=len(written),
            stage_seconds=seconds,
            token_ids=tuple(range(len(written))),
            transcript=self.transcript,
            recognition=None if request.samples is None else self.recognition,
        )

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.check_health()


def _pieces_before_stop(pieces: Sequence[str], stop: tuple[str, ...]) -> Sequence[str]:
    """The pieces before the first that holds a stop text."""
    return list(itertools.takewhile(lambda piece: not any(text in piece for text in stop), pieces))
