"""What routes do with recordings that are kept: check a request's fields about them, and give its work the recording.

How they are kept is in `app.recordings.store`. Knows nothing about the shape of requests.
"""

from functools import partial

from app.api.request_scope import AdmittedRequest
from app.core.errors import InvalidRequest
from app.metrics import RECORDINGS_REUSED
from app.models.resolver import ResolvedModel
from app.recordings.store import KeptRecording
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


def find_recording(service: Service, resolved_model: ResolvedModel, recording_id: str, owner: str) -> KeptRecording:
    """Return the owner's kept recording, which the model can read.

    Raises: NotFound (404) if it is not kept, Conflict (409) if the model cannot read what was kept.
    """
    kept = service.recordings.find(recording_id, owner)
    resolved_model.summarizer.check_readable(kept.content)
    return kept


def use_recordings(service: Service, admitted: AdmittedRequest, *, keep: bool, recording_id: str | None) -> None:
    """Give the work the kept recording that the request names, until the work ends, or let it keep its own.

    Raises: what `find_recording` raises.
    """
    summary_request = admitted.summary_request
    owner = summary_request.owner
    if recording_id is not None:
        summary_request.kept = find_recording(service, admitted.resolved_model, recording_id, owner)
        admitted.resources.enter_context(summary_request.kept.hold_open())
        RECORDINGS_REUSED.inc()
    if keep:
        caller = summary_request.caller or owner
        summary_request.keep_recording = partial(service.recordings.keep, owner=owner, caller=caller)
