"""Errors as responses in OpenAI's shape: the service's own errors, the framework's, and unexpected ones."""

import math
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from app.api.middleware.method_aliases import alias_methods
from app.api.protocol import ErrorResponse
from app.api.summary_fields import invalid_field_error
from app.core.errors import InvalidRequest, ServiceError
from app.telemetry.request_record import note_request

# The status that nginx logs if the client has left; nobody receives it.
CLIENT_CLOSED_REQUEST = 499

STATUS_DESCRIPTIONS = {
    400: "The request is malformed: an unknown, repeated or invalid field, no recording, an unreadable form, or "
    "a URL that is not fetched from.",
    401: "There is no API key, or it is not valid.",
    403: "The API key does not permit this.",
    404: "There is no such model, adapter, template, job or kept recording.",
    408: "The upload paused, was too slow, or had stalled while another upload needed its place. The message names the "
    "setting.",
    409: "The job has not ended, the model is still being loaded or is loaded already, a request with this "
    "Idempotency-Key is still being worked on, the model is the last one that answers requests without a model, the "
    "template is there already, is built in, or is one too many, or the model cannot read what was kept of the "
    "recording.",
    413: "The recording or the JSON has too many bytes, or the recording too many seconds. The message names the limit "
    "and the setting.",
    415: "The recording is not audio, or its format or content type is not accepted.",
    422: "The recording cannot be used: it is damaged, has no audio track, samples that are not finite, or an absurd "
    "sampling rate, or its URL could not be read. Or a model or an adapter cannot be served.",
    429: "The client has too many requests or uploads in progress or too many jobs waiting, or the quota of its key is "
    "used up.",
    500: "The service has failed; its log describes the fault under the request's `x-request-id`.",
    503: "The queue is full, by requests or by seconds of audio; the model is still being loaded; the engine has died; "
    "the request took too long; the disk is full; or the database cannot be used.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's description of the error responses with these statuses."""
    return {status: {"model": ErrorResponse, "description": STATUS_DESCRIPTIONS[status]} for status in statuses}


def internal_error() -> ServiceError:
    """Return the error that a caller gets for an unexpected exception. It tells nothing about the exception."""
    return ServiceError("The service failed on this request; its log says why.", code="internal_error")


def error_response(error: ServiceError) -> JSONResponse:
    """Return a ServiceError as a response. The log's line about the request names its code."""
    note_request(error=error.code)
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1000))
    # OpenAI's clients follow this header; without it they repeat every request that got a 409, 429 or 5xx.
    headers["x-should-retry"] = "false" if error.retry_after_s is None else "true"
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


def http_error_response(error: HTTPException, request: Request) -> JSONResponse:
    """Return one of the framework's own errors (404, 405, an unreadable form) as a response, with its headers."""
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    body = {"error": {"message": error.detail, "type": "invalid_request_error", "param": None, "code": code}}
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        headers["allow"] = ", ".join(_methods_of_path(request))
    return JSONResponse(body, status_code=error.status_code, headers=headers)


def _methods_of_path(request: Request) -> list[str]:
    """Return the methods of all routes with the request's path. The framework names the methods of one route only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matches = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in matches for method in _methods_of_route(route)})


def _methods_of_route(route: Route) -> set[str]:
    methods = set(route.methods or ())
    return methods | alias_methods(route.path, methods)


def install_error_handlers(app: FastAPI) -> None:
    """Register the handlers. Unexpected exceptions are handled in `app.api.middleware.request_id`, since the request id
    belongs in the log.
    """

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        faults = [{**fault, "loc": fault["loc"][1:] or fault["loc"]} for fault in error.errors()]
        invalid: InvalidRequest = invalid_field_error(faults)
        return error_response(invalid)

    @app.exception_handler(HTTPException)
    async def framework_error(request: Request, error: HTTPException) -> Response:
        return http_error_response(error, request)

    @app.exception_handler(ClientDisconnect)
    async def handle_disconnect(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
