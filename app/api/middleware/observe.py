"""Follows every request from its head to its last byte: its record for the log, its span, and its line in a JSON log.

Plain ASGI, so that streams pass through unchanged. The line and the span name the route and not the path, and nothing
of the query. Knows nothing about summaries.
"""

import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.error_responses import CLIENT_CLOSED_REQUEST
from app.telemetry.request_record import RequestRecord, record_request
from app.telemetry.tracing import Span, start_span

log = logging.getLogger(__name__)

PROBE_PATHS = ("/livez", "/readyz", "/metrics")  # asked every few seconds by orchestrators and by Prometheus
UNKNOWN_ROUTE = "unknown"


class ObserveMiddleware:
    """Makes the record and the span of a request. log_requests: whether a line is logged at its end."""

    def __init__(self, app: ASGIApp, log_requests: bool = False) -> None:
        self.app = app
        self.log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(PROBE_PATHS):
            await self.app(scope, receive, send)
            return
        status = CLIENT_CLOSED_REQUEST  # unless a response begins

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        with (
            record_request(RequestRecord()) as record,
            start_span(method, "server", Headers(scope=scope), http__request__method=method) as span,
        ):
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
                _describe(span, record, method, route, status)
                if self.log_requests:
                    fields = {"method": method, "route": route, "status": status}
                    log.info("request", extra=fields | {"duration_seconds": round(record.duration_seconds, 4)})


def _describe(span: Span, record: RequestRecord, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.set(http__route=route, http__response__status_code=status)
    span.set(**{f"speechsum__{name}": value for name, value in record.known_fields().items()})
    if status >= 500 or record.outcome == "failed":
        span.fail(record.error or str(status))
