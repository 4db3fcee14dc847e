"""Writes one answer in sections: a text model summarizes each section of a transcript by itself, all at the same time,
and the answers stand one behind the other.

A small model leaves out most of a long text and little of a short one, and several answers take an engine hardly longer
than one. Knows nothing about how a transcript is divided, nor about HTTP.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from app.concurrency import cancel_and_wait
from app.core.text.sections import Section
from app.engine.base import AnswerSection, EngineEvent, FinishReason, GenerationFinished, StageStarted, TextDelta
from app.engine.chat_request import ChatModel, Messages, SamplingOptions


@dataclass(frozen=True)
class SectionPrompt:
    """What the model is asked about one section.

    Attributes:
        messages: The chat messages, as `ChatModel.stream` takes them.
        sampling: How the answer is sampled.
        request_id: Unique among the requests inside the engine.
        section: The section of the transcript.
    """

    messages: Messages
    sampling: SamplingOptions
    request_id: str
    section: Section


async def stream_sections(
    model: ChatModel, prompts: Sequence[SectionPrompt], separator: str
) -> AsyncGenerator[EngineEvent, None]:
    """Yield the events of one answer whose sections the model generates at the same time. Closing aborts all of them.

    The text comes in order: that of the first section as it is generated, that of the others as soon as those before
    them are complete. The stages are those of the first section, and the last event has the tokens of all. Its reason
    is "stop" if all sections came to their end, "abort" if one was aborted, and otherwise that of the first one that
    did not come to its end.

    Args:
        model: The text model.
        prompts: One prompt per section, at least one.
        separator: What stands between two sections.

    Raises the ServiceError that the model raises for any section.
    """
    queues: list[asyncio.Queue[EngineEvent | BaseException]] = [asyncio.Queue() for _ in prompts]
    tasks = [
        asyncio.create_task(_generate_into(queue, model, prompt)) for queue, prompt in zip(queues, prompts, strict=True)
    ]
    finished: list[GenerationFinished] = []
    sections: list[AnswerSection] = []
    length = 0  # of the text until now, in characters
    try:
        for number, (queue, prompt) in enumerate(zip(queues, prompts, strict=True)):
            starts, held_back = True, ""  # the latter is white space that may be the section's end
            while not isinstance(event := await queue.get(), GenerationFinished):
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, StageStarted):
                    if number == 0:
                        yield event
                    continue
                text = event.text.lstrip() if starts else held_back + event.text
                visible = text.rstrip()
                held_back = text[len(visible) :]
                if visible:
                    visible = separator + visible if starts and length else visible
                    starts, length = False, length + len(visible)
                    yield TextDelta(visible)
            finished.append(event)
            sections.append(AnswerSection(length, prompt.section.start, prompt.section.end))
    finally:
        await cancel_and_wait(*tasks)
    yield replace(_join_finished(finished), sections=tuple(sections))


async def _generate_into(
    queue: "asyncio.Queue[EngineEvent | BaseException]", model: ChatModel, prompt: SectionPrompt
) -> None:
    """Put the events of one section into its queue. The last of them is `GenerationFinished` or an exception."""
    last: EngineEvent | None = None
    try:
        async with aclosing(model.stream(prompt.messages, prompt.sampling, prompt.request_id)) as events:
            async for last in events:
                queue.put_nowait(last)
    except Exception as failure:
        queue.put_nowait(failure)
        return
    if not isinstance(last, GenerationFinished):
        queue.put_nowait(GenerationFinished("abort", 0, 0))


def _join_finished(sections: Sequence[GenerationFinished]) -> GenerationFinished:
    # A reader must learn of an abort, whatever happened to the other sections: the sort is stable.
    reasons: list[FinishReason] = sorted(
        (one.finish_reason for one in sections if one.finish_reason != "stop"), key=lambda reason: reason != "abort"
    )
    stages = {stage for one in sections for stage in one.stage_seconds}
    return GenerationFinished(
        reasons[0] if reasons else "stop",
        sum(one.prompt_tokens for one in sections),
        sum(one.completion_tokens for one in sections),
        # The sections run side by side, so the longest of them is what the stage took.
        {stage: max(one.stage_seconds.get(stage, 0.0) for one in sections) for stage in sorted(stages)},
    )
