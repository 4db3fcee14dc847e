"""Several answers to one request: the choices that a caller asked for, or the candidates of `effort=high`.

Candidates are one greedy answer and samples of it; one of them is chosen (`app.summarize.consensus`) and the others are
dropped. All are generated at once, so that they share the recording's prompt in the engine's cache, and each takes a
place among the summaries that a model generates at the same time. Knows nothing about codecs or HTTP.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from app import metrics
from app.concurrency import run_all
from app.engine.base import EngineEvent, GenerationRequest, StageStarted, TextDelta
from app.engine.model_info import ModelInfo
from app.settings import EffortSettings
from app.summarize.consensus import choose_candidate
from app.summarize.generation import GeneratedSummary, GeneratedText, TextGenerator
from app.summarize.request import Emit, StageProgress, SummaryDelta, SummaryRequest
from app.summarize.structured.schema_workers import SchemaWorkers
from app.summarize.unsupported_spans import find_unsupported_spans

SAMPLING_STAGE, CHOOSING_STAGE = "sampling", "choosing"


def requests_for_choices(first: GenerationRequest, choice_count: int) -> list[GenerationRequest]:
    """Return one generation request per choice; they differ in their ids and seeds."""
    return [first] + [
        replace(
            first, request_id=f"{first.request_id}-{number}", seed=None if first.seed is None else first.seed + number
        )
        for number in range(1, choice_count)
    ]


def requests_for_candidates(first: GenerationRequest, effort: EffortSettings) -> list[GenerationRequest]:
    """Return one generation request per candidate. The first decodes greedily and the others sample."""
    greedy, *samples = requests_for_choices(replace(first, temperature=0.0), effort.samples)
    return [greedy, *(replace(one, temperature=effort.temperature) for one in samples)]


class AnswerGenerator:
    """Generates all answers of one request at once, and reports it.

    The text of choices is reported as it comes. Of candidates it is reported how many are done.
    """

    def __init__(self, generator: TextGenerator, request: SummaryRequest, model: ModelInfo, emit: Emit) -> None:
        """Prepare the answers of one request. model: who writes them, for the metrics."""
        self._generator = generator
        self._request = request
        self._model = model
        self._emit = emit
        self._started_choices: set[int] = set()

    async def generate_all(self, generation_requests: Sequence[GenerationRequest]) -> list[GeneratedText]:
        """Return the answers in order. Cancelling the coroutine, or an error of one of them, aborts all of them.

        Raises the ServiceError that the engine raises.
        """
        count, done = len(generation_requests), 0

        async def generate_one(number: int, one: GenerationRequest) -> GeneratedText:
            nonlocal done
            answer = await self._generator.generate(one, partial(self._report_event, number))
            done += 1
            if self._request.is_sampled:
                self._emit(StageProgress(SAMPLING_STAGE, done, count))
            return answer

        if self._request.is_sampled:
            self._emit(StageProgress(SAMPLING_STAGE, 0, count))
        return await run_all(generate_one(number, one) for number, one in enumerate(generation_requests))

    def report_text(self, text: str, choice: int = 0) -> None:
        """Report the next piece of a choice's text."""
        if choice not in self._started_choices:
            seconds = time.perf_counter() - self._request.started_at
            metrics.observe_first_token(self._model.kind, self._model.id, seconds)
        self._started_choices.add(choice)
        self._emit(SummaryDelta(text, choice))

    def _report_event(self, number: int, event: EngineEvent) -> None:
        if isinstance(event, StageStarted) and not (self._request.is_sampled and number):
            self._emit(StageProgress(f"engine_{event.stage}"))
        if isinstance(event, TextDelta) and not self._request.is_sampled:
            self.report_text(event.text, number)


class CandidateChooser:
    """Chooses one of several candidates. schema_workers: read the answers that follow a schema."""

    def __init__(self, schema_workers: SchemaWorkers) -> None:
        self._schema_workers = schema_workers

    async def choose(
        self, request: SummaryRequest, generation_request: GenerationRequest, candidates: Sequence[GeneratedSummary]
    ) -> GeneratedSummary:
        """Return the best candidate, with the tokens of all of them.

        A candidate that did not come to its end, that is empty or whose JSON does not follow the schema is left out,
        unless all are like that.
        """
        schema = generation_request.schema
        complete = [one for one in candidates if one.final.finished.finish_reason == "stop" and one.final.text.strip()]
        eligible = complete or list(candidates)
        if schema is not None:
            parsed = await run_all(
                self._schema_workers.parse_answer(one.final.text, schema, own=not request.output_format.param)
                for one in eligible
            )
            valid = [one for one, (value, _) in zip(eligible, parsed, strict=True) if value is not None]
            eligible = valid or eligible
        spans = [await find_unsupported_spans(request, one, is_json=schema is not None) for one in eligible]
        best = eligible[
            choose_candidate(
                [one.final.text for one in eligible],
                [len({span.text for span in some or ()}) for some in spans],
                is_json=schema is not None,
            )
        ]
        return replace(
            best,
            prompt_tokens=sum(one.prompt_tokens for one in candidates),
            completion_tokens=sum(one.completion_tokens for one in candidates),
        )
