"""Makes the row of one recording after the other with the path of the service, in one process and without HTTP.

The model, the decoding processes and the speech detector are those of `app.service.Service`. A recording's own faults
become its row; only a dead engine is raised, because then the process must be replaced. Knows nothing about Ray.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from app.api.background_fields import check_background
from app.api.protocol import summary_response
from app.api.requested_templates import RequestedTemplates
from app.api.summary_fields import SummaryFields, parse_summary_fields
from app.api.summary_upload import build_summary_request
from app.api.transcript_protocol import check_transcript
from app.batch.fetch_recording import fetch_recording
from app.batch.rows import Row, error_row, summary_row
from app.core.errors import EngineDead, NotFound, Unavailable
from app.main import make_decoder
from app.models.model_source import ModelSource
from app.models.resolver import ResolvedModel
from app.service import Service
from app.settings import Settings
from app.summarize.request import SummaryEvent
from app.templates.builtin import BUILTIN_TEMPLATES
from app.templates.template import AUTO

Fields = Sequence[tuple[str, str]]  # names and values, as a form has them


@dataclass(frozen=True)
class BatchWork:
    """What is asked for each recording.

    Attributes:
        settings: The settings of the service. `settings.model` is the model.
        fields: The fields of a request for a summary.
        parallel: Recordings that one worker has in work at the same time.
        whole_answer: Whether a row also has the whole answer.
    """

    settings: Settings
    fields: Fields
    parallel: int
    whole_answer: bool = False


def check_fields(fields: Fields, settings: Settings) -> tuple[SummaryFields, RequestedTemplates]:
    """Return the fields, validated, and the templates that they name. Raises ServiceError (4xx)."""
    parsed = parse_summary_fields(fields)
    check_background(parsed.options.background, settings.limits)
    name = parsed.options.template
    if name is None:
        return parsed, RequestedTemplates()
    if name == AUTO:
        return parsed, RequestedTemplates(candidates=tuple(BUILTIN_TEMPLATES.values()))
    if name not in BUILTIN_TEMPLATES:
        raise NotFound(
            f"There is no built-in template {name!r}. There are: {', '.join(BUILTIN_TEMPLATES)}.",
            code="template_not_found",
            param="template",
        )
    return parsed, RequestedTemplates(BUILTIN_TEMPLATES[name])


class RecordingSummarizer:
    """The model and everything around it. For one event loop.

    Args:
        work: What is asked for each recording.
        source: Finds the model.
    """

    def __init__(self, work: BatchWork, source: ModelSource) -> None:
        self._work = work
        self._fields, self._templates = check_fields(work.fields, work.settings)
        first = source(work.settings.model, ())
        self.model_id = first.info.id
        self._service = Service(work.settings, first, make_decoder(work.settings), [], source)

    async def start(self) -> None:
        """Load the model. Raises ServiceError if it cannot be loaded, or cannot do what the fields ask for."""
        await self._service.start()
        await self._service.wait_until_started()
        if self._service.failure is not None:
            raise Unavailable(self._service.failure, code="engine_failed")
        resolved = await self._resolve_model()
        resolved.summarizer.check_max_tokens(self._fields.options.max_tokens)
        check_transcript(self._service.models, resolved, self._fields.options.transcript)

    async def stop(self) -> None:
        """Free what `start` acquired. Calling it twice does no harm."""
        await self._service.stop()

    async def summarize(self, uri: str) -> Row:
        """Return the row of a recording. Several calls may run at the same time.

        Raises EngineDead if the engine died, which is no fault of this recording, or not surely.
        """
        started_at = time.perf_counter()
        try:
            answer = await self._summarize(uri, started_at)
        except EngineDead:
            raise
        except Exception as error:
            await self._service.check_live()  # raises EngineDead, if that is why
            seconds = time.perf_counter() - started_at
            return error_row(uri, self.model_id, error, finished_at=time.time(), seconds=seconds)
        seconds = time.perf_counter() - started_at
        return summary_row(uri, answer, finished_at=time.time(), seconds=seconds, whole=self._work.whole_answer)

    async def _summarize(self, uri: str, started_at: float) -> dict[str, object]:
        settings = self._work.settings
        audio = await asyncio.to_thread(fetch_recording, uri, settings.limits.upload_bytes)
        with audio:
            request = build_summary_request(
                audio,
                self._fields,
                self._templates,
                started_at=started_at,
                upload_seconds=time.perf_counter() - started_at,
                timeout_s=settings.jobs.seconds,
            )
            resolved = await self._resolve_model()
            with resolved.model.count_request():
                summary = await resolved.summarizer.summarize(request, _ignore_event)
        return summary_response(summary, resolved.model.info, int(time.time())).model_dump(mode="json")

    async def _resolve_model(self) -> ResolvedModel:
        return await self._service.models.resolve(None, uuid.uuid4().hex)


def _ignore_event(_: SummaryEvent) -> None:
    """Ignore progress, because the row is written as a whole."""
