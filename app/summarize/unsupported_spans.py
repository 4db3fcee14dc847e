"""Finds what a generated summary says that the model never heard, if the model can say what it heard.

What the caller named is no invention, and neither are the times that the service itself writes into notes. Earlier
answers of a conversation count for nothing: what was invented once does not become true by being sent back. What stands
only in the caller's context or vocabulary was not said: it is found, and marked as coming from there. Knows nothing
about how the search works (`app.core.text.unsupported`).
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator, Sequence

from app.core.prompts import clock_time
from app.core.text.unsupported import Unsupported, find_unsupported
from app.summarize.generation import GeneratedSummary
from app.summarize.recognition_warnings import overall_recognition
from app.summarize.request import SummaryRequest

log = logging.getLogger(__name__)

_MAX_NAMED = 8  # in a warning, which is also sent in a header


async def find_unsupported_spans(
    request: SummaryRequest, generated: GeneratedSummary, *, is_json: bool
) -> list[Unsupported] | None:
    """Return the unsupported parts of a summary, or None if the model cannot say what it heard.

    is_json: whether the summary is JSON.
    """
    transcripts = [one.transcript for one in generated.window_results]
    if not transcripts or any(one is None for one in transcripts):
        return None
    recognition = overall_recognition(generated.window_results)
    try:
        # Outside the event loop: a recording of hours takes tens of milliseconds.
        return await asyncio.to_thread(
            find_unsupported,
            generated.final.text,
            "\n".join(one for one in transcripts if one),
            _requested_text(request, generated),
            request.background.text,
            spoken_language=recognition.language if recognition else None,
            summary_language=request.style.language,
            is_json=is_json,
        )
    except Exception:  # a summary that was made is not lost because it could not be checked
        log.exception("The summary of the request %s could not be checked", request.id)
        return None


def unsupported_warnings(unsupported: Sequence[Unsupported], where: str = "the summary") -> Iterator[str]:
    """Yield the sentences that name what was not heard, if there is anything. where: the text that says it."""
    if named := _name_texts(one.text for one in unsupported if not one.in_context):
        yield f"In {where}, but not heard in the recording: {named}. Check before you rely on it."
    if named := _name_texts(one.text for one in unsupported if one.in_context):
        yield (
            f"In {where} from your context or vocabulary, but not heard in the recording: {named}. Check before you "
            "rely on it."
        )


def _name_texts(texts: Iterable[str]) -> str:
    """Return the texts in quotes, without repeats and only the first few. It is empty if there are none."""
    different = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    more = f" and {len(different) - _MAX_NAMED} more" if len(different) > _MAX_NAMED else ""
    return ", ".join(f'"{text}"' for text in different[:_MAX_NAMED]) + more


def _requested_text(request: SummaryRequest, generated: GeneratedSummary) -> str:
    """Return what the caller said, and the times at which windows begin, which the model reads with the notes."""
    style, own_schema = request.style, request.output_format.schema if request.output_format.param else None
    texts = [style.focus, style.tone, style.instructions, request.custom_instruction]
    texts += [request.template.content.instruction] if request.template else []
    texts += [turn.question for turn in request.turns]
    texts += [json.dumps(own_schema, ensure_ascii=False)] if own_schema else []
    texts += [clock_time(one.window.start) for one in generated.window_results if one.note is not None]
    return "\n".join(text for text in texts if text)
