"""A request for a summary, as a form or as a raw body with a query: its recording, its fields and its model.

Shared by the route that answers at once and the one that queues a job. Everything that can be refused before there is
work to do is refused here. Knows nothing about how summaries are made.
"""

import uuid
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request

from app.admission.uploads import Upload
from app.api.background_fields import check_background
from app.api.kept_recordings import check_recording_fields
from app.api.request_scope import check_schema, fetch_recording
from app.api.requested_templates import FindTemplates, RequestedTemplates
from app.api.summary_fields import SummaryFields, parse_summary_fields
from app.api.transcript_protocol import check_transcript
from app.api.upload import is_form, read_form_upload, read_raw_upload, require_empty_body, two_recordings_error
from app.core.audio.containers.sniff import sniff_file
from app.core.audio.samples import create_unnamed_file
from app.models.resolver import ResolvedModel
from app.service import Service
from app.summarize.request import SummaryRequest

ResolveModel = Callable[[str | None], Awaitable[ResolvedModel]]


@dataclass(frozen=True)
class SummaryUpload:
    """A recording that has arrived, and what is asked of it.

    audio: the recording in a file, which the holder closes; empty if it was kept by an earlier request. pairs: names
    and values of all fields as they were sent, those of the route included. fields: the summary's fields, validated.
    """

    audio: BinaryIO
    pairs: list[tuple[str, str]]
    fields: SummaryFields
    templates: RequestedTemplates
    resolved_model: ResolvedModel

    @property
    def uploaded_audio(self) -> BinaryIO | None:
        """The recording if it came with the request; None if it was kept, or if it was fetched, since its URL may give
        another one the next time.
        """
        return None if self.fields.options.names_recording else self.audio


async def read_summary_upload(
    request: Request,
    service: Service,
    upload: Upload,
    resolve_model: ResolveModel,
    find_templates: FindTemplates,
    route_fields: Collection[str] = (),
) -> SummaryUpload:
    """Read the recording, which is sent or fetched, and check everything that is asked.

    The fields of a raw body are in the query, so that they are checked, and the model is resolved, before the body is
    read. Those of a form may stand behind the recording.

    Args:
        upload: counts what is received.
        resolve_model: finds the model that is asked for; called once.
        find_templates: finds the template that is asked for; called once.
        route_fields: names of the route's own fields, which are no summary's.

    Raises: ServiceError if the request is refused, ClientDisconnect if the client leaves.
    """
    settings = service.settings
    pairs = request.query_params.multi_items()
    with ExitStack() as files:  # closes them at an error, and not when the exception that refers to them is collected
        audio: BinaryIO | None = None
        if is_form(request):
            received = await read_form_upload(request, settings, upload)
            if received.audio is not None:
                audio = files.enter_context(received.audio)
            pairs += received.fields
            fields, resolved_model = await _check_fields(service, pairs, route_fields, resolve_model)
        else:
            fields, resolved_model = await _check_fields(service, pairs, route_fields, resolve_model)
            if named_by := fields.options.names_recording:
                await require_empty_body(request, settings, upload, named_by)
            else:
                audio = files.enter_context(await read_raw_upload(request, settings, upload))
        templates = await find_templates(fields.options.template)
        await check_schema(request, service, templates.output_format(fields.output_format))
        if fields.options.recording_id is not None:
            audio = files.enter_context(create_unnamed_file())
        else:
            if audio is None:
                audio = files.enter_context(await fetch_recording(request, service, upload, fields.options.url or ""))
            sniff_file(audio)
        files.pop_all()
        return SummaryUpload(audio, pairs, fields, templates, resolved_model)


def build_summary_request(
    audio: BinaryIO,
    fields: SummaryFields,
    templates: RequestedTemplates,
    *,
    started_at: float,
    upload_seconds: float = 0.0,
    timeout_s: float | None = None,
    priority: int = 0,
    owner: str = "",
) -> SummaryRequest:
    """Return the request for the summary that the fields ask for. For the other parameters see `SummaryRequest`."""
    request = SummaryRequest(
        id=f"sum-{uuid.uuid4().hex}",
        audio=audio,
        style=fields.style,
        background=fields.options.background,
        transcript_format=fields.options.transcript,
        output_format=fields.output_format,
        effort=fields.options.effort,
        max_tokens=fields.options.max_tokens,
        temperature=fields.options.temperature,
        seed=fields.options.seed,
        questions=tuple(fields.options.questions),
        started_at=started_at,
        upload_seconds=upload_seconds,
        timeout_s=timeout_s,
        priority=priority,
        owner=owner,
    )
    return templates.apply(request)


async def _check_fields(
    service: Service, pairs: list[tuple[str, str]], route_fields: Collection[str], resolve_model: ResolveModel
) -> tuple[SummaryFields, ResolvedModel]:
    fields = parse_summary_fields(pair for pair in pairs if pair[0] not in route_fields)
    options = fields.options
    check_recording_fields(service, keep=options.keep, recording_id=options.recording_id)
    if options.url and options.recording_id:
        raise two_recordings_error("recording_id", "a `url`")
    check_background(options.background, service.settings.limits)
    resolved_model = await resolve_model(fields.options.model)
    resolved_model.summarizer.check_max_tokens(fields.options.max_tokens)
    check_transcript(service.models, resolved_model, fields.options.transcript)
    return fields, resolved_model
