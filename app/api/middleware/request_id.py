"""Gives every request an id and every response the header `x-request-id`, and answers unexpected exceptions.

Plain ASGI, so that streams pass through unchanged. Knows nothing about summaries.
"""

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.error_responses import error_response, internal_error
from app.telemetry.request_record import note_request

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"
EXTRA_HEADERS_KEY = "more_headers"  # in the request's state: headers that its response will have
# A client's id is written to logs: it must be short, and cannot contain a line break.
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def add_response_headers(scope: Scope, headers: dict[str, str]) -> None:
    """Add headers to the request's response, even if it will be an error. scope: the request's."""
    scope["state"].setdefault(EXTRA_HEADERS_KEY, {}).update(headers)


class RequestIdMiddleware:
    """Puts the request's `x-request-id` into `request.state.request_id`, or a new id if it is missing or malformed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _VALID_REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        note_request(request_id=request_id)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                headers.update(scope["state"].get(EXTRA_HEADERS_KEY, {}))
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
            if started:
                raise
            await error_response(internal_error())(scope, receive, send_with_id)
