"""Errors as answers, all in OpenAI's shape: the service's own, the framework's, and what nobody expected."""

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

# What nginx logs for a client that left; nobody receives it.
CLIENT_CLOSED_REQUEST = 499

STATUS_DESCRIPTIONS = {
    400: "The request is malformed: an unknown, repeated or invalid field, no recording, an unreadable form, or "
    "a URL that is not fetched from.",
    401: "No API key, or none that this service knows.",
    403: "The API key may not do this.",
    404: "No such model, adapter or job here.",
    408: "The upload paused, was too slow, or had stalled while its place was needed. The message names the setting.",
    409: "Too early: the job has not ended, the model is still being loaded, or a request with this Idempotency-Key is "
    "still worked on. Or too late: the model is loaded already. Or it is the last of the default's.",
    413: "The recording, or the JSON, has too many bytes or seconds. The message names the limit and the setting.",
    415: "Not audio, or not in a format or content type that is accepted.",
    422: "The recording cannot be used: damaged, no audio track, samples that are not finite, an absurd sampling rate; "
    "or its URL could not be read. A model or an adapter cannot be served as it is.",
    429: "This client has too many requests or uploads open or too many jobs waiting, or its key's quota is used up.",
    500: "A fault of the service; the log has it under the request's `x-request-id`.",
    503: "The queue is full, by requests or by seconds of audio; the model is still being loaded; the engine died; "
    "the request took too long; or there is no room on the disk, or the database cannot be used.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of these failures."""
    return {status: {"model": ErrorResponse, "description": STATUS_DESCRIPTIONS[status]} for status in statuses}


def internal_error() -> ServiceError:
    """What a caller hears of a fault: nothing of the inside."""
    return ServiceError("The service failed on this request; its log says why.", code="internal_error")


def error_response(error: ServiceError) -> JSONResponse:
    """A ServiceError as an answer."""
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1000))
    # What OpenAI's clients go by: else they try everything again that is 409, 429 or 5xx.
    headers["x-should-retry"] = "false" if error.retry_after_s is None else "true"
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


def http_error_response(error: HTTPException, request: Request) -> JSONResponse:
    """The framework's own refusals (404, 405, an unreadable form), with their headers kept."""
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    body = {"error": {"message": error.detail, "type": "invalid_request_error", "param": None, "code": code}}
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        headers["allow"] = ", ".join(_methods_of_path(request))
    return JSONResponse(body, status_code=error.status_code, headers=headers)


def _methods_of_path(request: Request) -> list[str]:
    """What the path can be asked with. The framework names those of one of its routes only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in _methods_of_route(route)})


def _methods_of_route(route: Route) -> set[str]:
    methods = set(route.methods or ())
    return methods | alias_methods(route.path, methods)


def install_error_handlers(app: FastAPI) -> None:
    """Register the handlers. Unexpected exceptions are answered by `app.api.middleware.request_id`, which knows the
    request id.
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
