"""Generates one answer with the engine: it waits for a free place, passes the events on and joins the text.

Knows nothing about codecs or HTTP.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from app import metrics
from app.core.errors import Unavailable
from app.engine.base import Engine, EngineEvent, GenerationFinished, GenerationRequest, StageStarted
from app.summarize.citations import Citation, cite, cite_sections
from app.summarize.priority_limiter import PriorityLimiter
from app.summarize.request import WindowResult


@dataclass(frozen=True)
class GeneratedText:
    """An answer's text, its last event, and the seconds that it waited for a place in the engine."""

    text: str
    finished: GenerationFinished
    queue_seconds: float


@dataclass(frozen=True)
class GeneratedSummary:
    """One summary as the model generated it.

    Attributes:
        final: The answer that is the summary.
        window_results: The windows that were read, in order.
        prompt_tokens: Prompt tokens of all answers that the summary took.
        completion_tokens: Tokens of all these answers.
        warnings: Sentences for the caller.
    """

    final: GeneratedText
    window_results: list[WindowResult]
    prompt_tokens: int
    completion_tokens: int
    warnings: tuple[str, ...] = ()

    @property
    def citations(self) -> list[Citation]:
        """Where each sentence comes from. It is empty if the recording was read and the answer written in one piece."""
        noted = [one for one in self.window_results if one.note is not None]
        if noted:
            return cite(self.final.text, [one.note or "" for one in noted], [one.window for one in noted])
        sections = self.final.finished.sections
        return cite_sections(self.final.text, sections, self.window_results[0].window.start) if sections else []


class TextGenerator:
    """An engine with at most `max_concurrent` requests in it. The others wait in the order of their priority."""

    def __init__(self, engine: Engine, max_concurrent: int) -> None:
        self.engine = engine
        self.limiter = PriorityLimiter(max_concurrent)

    async def generate(
        self, generation_request: GenerationRequest, on_event: Callable[[EngineEvent], None] = lambda _: None
    ) -> GeneratedText:
        """Generate one answer. Cancelling the coroutine aborts it.

        on_event: called with stages and text as they come. Raises ServiceError, and `Unavailable` if the engine gives
        the request up.
        """
        started_at = time.perf_counter()
        with metrics.QUEUE_WAITING.track_inprogress():
            await self.limiter.acquire(generation_request.priority)
        queue_seconds = time.perf_counter() - started_at
        finished: GenerationFinished | None = None
        pieces: list[str] = []
        try:
            # A cascade would transcribe first, and only then find out that its text model is gone.
            await self.engine.check_health()
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
        return GeneratedText("".join(pieces), finished, queue_seconds)
