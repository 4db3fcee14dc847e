"""Web pages of other origins that may call the service (Fetch Standard, CORS): those that a setting names.

No cookies are used here, so credentials are not allowed; an API key travels in a header.
"""

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from app.api.error_responses import error_response
from app.core.errors import InvalidRequest
from app.settings import setting_name

ALLOWED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What a page's script may read of an answer beside its body.
EXPOSED_HEADERS = (
    "idempotent-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "retry-after-ms",
    "server-timing",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-request-id",
    "x-should-retry",
    "x-summary-complete",
    "x-summary-finish-reason",
    "x-summary-id",
    "x-summary-kind",
    "x-summary-model",
    "x-summary-warnings",
)


class CorsErrorMiddleware(CORSMiddleware):
    """starlette's, with refusals in the service's own shape."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        refusal = error_response(
            InvalidRequest(
                "This origin, method or header is not allowed for web pages. The setting is "
                f"{setting_name('server', 'cors_origins')}.",
                code="cors_refused",
            )
        )
        refusal.headers["vary"] = "Origin"
        return refusal


def allow_origins(app: FastAPI, origins: list[str]) -> None:
    """Let the pages of these origins call the application; `*` is any. Without origins, nothing changes."""
    if origins:
        app.add_middleware(
            CorsErrorMiddleware,
            allow_origins=origins,
            allow_methods=ALLOWED_METHODS,
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
