"""What routes do with recordings that are kept: check a request's fields about them, and give its work the recording.

How they are kept is in `app.recordings.store`. Knows nothing about the shape of requests.
"""

from functools import partial

from app.api.request_scope import AdmittedRequest
from app.core.errors import InvalidRequest
from app.metrics import RECORDINGS_REUSED
from app.models.resolver import ResolvedModel
from app.service import Service
from app.settings import setting_name


def check_recording_fields(service: Service, *, keep: bool, recording_id: str | None) -> None:
    """Raise InvalidRequest (400) if the service keeps no recordings, or if both fields are given."""
    if not keep and recording_id is None:
        return
    given = "keep" if keep else "recording_id"
    if not service.settings.recordings.seconds:
        raise InvalidRequest(
            f"This service keeps no recordings, so it takes no {given}. The operator can change that with the setting "
            f"{setting_name('recordings', 'seconds')}.",
            code="recordings_disabled",
            param=given,
        )
    if keep and recording_id is not None:
        raise InvalidRequest(
            "The recording of a recording_id is kept already, and no longer than it was to be. Leave keep out.",
            code="invalid_field",
            param="keep",
        )


def check_recording(service: Service, resolved_model: ResolvedModel, recording_id: str, owner: str) -> None:
    """Check that the owner's recording is kept, and that the model can read it.

    Raises: NotFound (404) if it is not kept, Conflict (409) if the model cannot read what was kept.
    """
    resolved_model.summarizer.check_readable(service.recordings.find(recording_id, owner).content)


def use_recordings(service: Service, admitted: AdmittedRequest, *, keep: bool, recording_id: str | None) -> None:
    """Give the work the kept recording that the request names, until the work ends, or let it keep its own.

    Raises: what `check_recording` raises.
    """
    summary_request, store = admitted.summary_request, service.recordings
    owner = summary_request.owner
    if recording_id is not None:
        check_recording(service, admitted.resolved_model, recording_id, owner)
        summary_request.kept = store.find(recording_id, owner)
        admitted.resources.enter_context(summary_request.kept.hold_open())
        RECORDINGS_REUSED.inc()
    if keep:
        caller = summary_request.caller or owner
        summary_request.keep_recording = partial(store.keep, owner=owner, caller=caller)
