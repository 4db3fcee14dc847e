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
from app.telemetry.tracing import Attribute, Span, start_span

GEN_AI_PROVIDER = "vllm"  # the system that runs the models, as the GenAI conventions want it named


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

    def __init__(self, engine: Engine, max_concurrent: int, model_id: str = "") -> None:
        self.engine = engine
        self.model_id = model_id  # `name@version`, for metrics and traces
        self.limiter = PriorityLimiter(max_concurrent)

    async def generate(
        self, generation_request: GenerationRequest, on_event: Callable[[EngineEvent], None] = lambda _: None
    ) -> GeneratedText:
        """Generate one answer. Cancelling the coroutine aborts it.

        on_event: called with stages and text as they come. Raises ServiceError, and `Unavailable` if the engine gives
        the request up.
        """
        with start_span(f"chat {self.model_id}", "client") as span:
            span.set(**self._request_attributes(generation_request))
            generated = await self._generate(generation_request, on_event, span)
            span.set(
                gen_ai__response__finish_reasons=[generated.finished.finish_reason],
                gen_ai__usage__input_tokens=generated.finished.prompt_tokens,
                gen_ai__usage__output_tokens=generated.finished.completion_tokens,
                speechsum__queue_seconds=generated.queue_seconds,
            )
            return generated

    async def _generate(
        self, generation_request: GenerationRequest, on_event: Callable[[EngineEvent], None], span: Span
    ) -> GeneratedText:
        started_at = time.perf_counter()
        with metrics.QUEUE_WAITING.track_inprogress(), start_span("queue"):
            await self.limiter.acquire(generation_request.priority)
        queue_seconds = time.perf_counter() - started_at
        metrics.QUEUE_DURATION.labels(self.model_id).observe(queue_seconds)
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
                    if isinstance(event, StageStarted):
                        span.add_event(event.stage)
                    else:
                        if not pieces:
                            span.set(gen_ai__response__time_to_first_chunk=time.perf_counter() - started_at)
                        pieces.append(event.text)
                    on_event(event)
        finally:
            self.limiter.release()
        if finished is None or finished.finish_reason == "abort":
            raise Unavailable("The engine gave this request up. Try again.", code="engine_aborted", retry_after_s=1)
        return GeneratedText("".join(pieces), finished, queue_seconds)

    def _request_attributes(self, generation_request: GenerationRequest) -> dict[str, Attribute]:
        """Return the attributes of an answer's span, by the GenAI semantic conventions, without any text."""
        attributes: dict[str, Attribute] = {
            "gen_ai__operation__name": "chat",
            "gen_ai__provider__name": GEN_AI_PROVIDER,
            "gen_ai__request__model": self.model_id,
            "gen_ai__response__model": self.model_id,
            "gen_ai__request__stream": True,
            "gen_ai__request__max_tokens": generation_request.max_tokens,
            "gen_ai__request__temperature": generation_request.temperature,
            "gen_ai__request__top_p": generation_request.top_p,
            "gen_ai__output__type": "text" if generation_request.schema is None else "json",
            "gen_ai__response__id": generation_request.request_id,
        }
        return (
            attributes
            if generation_request.seed is None
            else attributes | {"gen_ai__request__seed": generation_request.seed}
        )
