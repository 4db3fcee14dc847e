"""One answer out of the engine: a slot, the events, the whole text. Knows nothing about codecs or HTTP."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from app import metrics
from app.core.errors import Unavailable
from app.engine.base import Engine, EngineEvent, Finished, Generation, StageStarted
from app.summarize.priority_limiter import Slots
from app.summarize.request import Heard


@dataclass(frozen=True)
class Written:
    """An answer's text, how it ended, and the seconds it waited for its slot."""

    text: str
    finished: Finished
    waited_s: float


@dataclass(frozen=True)
class Read:
    """What reading a recording gave. last: the answer that is its summary. heard: the windows read, in order.
    prompt_tokens, completion_tokens: of all answers that it took.
    """

    last: Written
    heard: list[Heard]
    prompt_tokens: int
    completion_tokens: int
    warnings: tuple[str, ...] = ()


class Writer:
    """The engine, at most `slots` answers in it at once; the rest wait, by their priority."""

    def __init__(self, engine: Engine, slots: int) -> None:
        self.engine = engine
        self.slots = Slots(slots)

    async def write(self, generation: Generation, tell: Callable[[EngineEvent], None] = lambda _: None) -> Written:
        """One answer; `tell` gets stages and text as they come. Cancelling aborts it. Raises ServiceError."""
        began = time.perf_counter()
        with metrics.QUEUE_WAITING.track_inprogress():
            await self.slots.acquire(generation.priority)
        waited = time.perf_counter() - began
        finished: Finished | None = None
        pieces: list[str] = []
        try:
            events = cast(AsyncGenerator[EngineEvent, None], self.engine.generate(generation))
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Finished):
                        finished = event
                        continue
                    if not isinstance(event, StageStarted):
                        pieces.append(event.text)
                    tell(event)
        finally:
            self.slots.release()
        if finished is None or finished.finish_reason == "abort":
            raise Unavailable("The engine gave this request up. Try again.", code="engine_aborted", retry_after_s=1)
        return Written("".join(pieces), finished, waited)
