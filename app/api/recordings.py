"""`/v1/recordings/{id}`: look up and delete a recording that is kept. How recordings are kept is in
`app.recordings.store`.
"""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from app.api.app_state import app_state
from app.api.auth import Credentials, authenticate
from app.api.error_responses import error_responses
from app.api.query_parameters import reject_unknown_query
from app.api.recordings_protocol import RecordingResponse, recording_response

router = APIRouter(tags=["recordings"], dependencies=[Depends(reject_unknown_query)])

PATH = "/v1/recordings/{id}"


@router.get(PATH, summary="Look up a recording", responses=error_responses(400, 401, 403, 404, 503))
async def get_recording(request: Request, credentials: Credentials, id: str) -> RecordingResponse:
    """The answer says what is kept of the recording, and until when."""
    caller = await authenticate(request, credentials)
    return recording_response(app_state(request).service.recordings.find(id, caller.owner))


@router.delete(PATH, summary="Delete a recording", status_code=204, responses=error_responses(400, 401, 403, 404, 503))
async def delete_recording(request: Request, credentials: Credentials, id: str) -> Response:
    """No further request finds the recording. A request that is reading it is answered, and then it is gone."""
    caller = await authenticate(request, credentials)
    app_state(request).service.recordings.delete(id, caller.owner)
    return Response(status_code=204)
