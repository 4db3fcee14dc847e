"""One answer out of the engine: a slot, the events, the whole text. Knows nothing about codecs or HTTP."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from app import metrics
from app.core.errors import Unavailable
from app.engine.base import Engine, EngineEvent, GenerationFinished, GenerationRequest, StageStarted
from app.summarize.priority_limiter import PriorityLimiter
from app.summarize.request import WindowResult


@dataclass(frozen=True)
class GeneratedText:
    """An answer's text, how it ended, and the seconds it waited for its slot."""

    text: str
    finished: GenerationFinished
    queue_seconds: float


@dataclass(frozen=True)
class GeneratedSummary:
    """What reading a recording gave. last: the answer that is its summary. heard: the windows read, in order.
    prompt_tokens, completion_tokens: of all answers that it took.
    """

    final: GeneratedText
    window_results: list[WindowResult]
    prompt_tokens: int
    completion_tokens: int
    warnings: tuple[str, ...] = ()


class TextGenerator:
    """The engine, at most `slots` answers in it at once; the rest wait, by their priority."""

    def __init__(self, engine: Engine, max_concurrent: int) -> None:
        self.engine = engine
        self.limiter = PriorityLimiter(max_concurrent)

    async def generate(
        self, generation_request: GenerationRequest, on_event: Callable[[EngineEvent], None] = lambda _: None
    ) -> GeneratedText:
        """One answer; `tell` gets stages and text as they come. Cancelling aborts it. Raises ServiceError."""
        began = time.perf_counter()
        with metrics.QUEUE_WAITING.track_inprogress():
            await self.limiter.acquire(generation_request.priority)
        waited = time.perf_counter() - began
        finished: GenerationFinished | None = None
        pieces: list[str] = []
        try:
            events = cast(AsyncGenerator[EngineEvent, None], self.engine.generate(generation_request))
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, GenerationFinished):
                        finished = event
                        continue
                    if not isinstance(event, StageStarted):
                        pieces.append(event.text)
                    on_event(event)
        finally:
            self.limiter.release()
        if finished is None or finished.finish_reason == "abort":
            raise Unavailable("The engine gave this request up. Try again.", code="engine_aborted", retry_after_s=1)
        return GeneratedText("".join(pieces), finished, waited)
