"""Cross-origin requests (Fetch Standard, CORS): the service can be called from web pages of the origins in a setting.

The service uses no cookies, so credentials are not allowed; an API key is sent in a header.
"""

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from app.api.error_responses import error_response
from app.core.errors import InvalidRequest
from app.settings import setting_name

ALLOWED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# The headers of a response that a page's script may read.
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
    "x-summary-expires-at",
    "x-summary-finish-reason",
    "x-summary-id",
    "x-summary-kind",
    "x-summary-model",
    "x-summary-recording-id",
    "x-summary-template",
    "x-summary-warnings",
)


class CorsErrorMiddleware(CORSMiddleware):
    """Starlette's middleware, with errors in the service's own shape."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the response to a preflight request (Fetch Standard, 3.3.2)."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        response = error_response(
            InvalidRequest(
                "This origin, method or header is not allowed for web pages. The setting is "
                f"{setting_name('server', 'cors_origins')}.",
                code="cors_refused",
            )
        )
        response.headers["vary"] = "Origin"
        return response


def allow_origins(app: FastAPI, origins: list[str]) -> None:
    """Allow pages of these origins to call the application; `*` is any origin. Without origins, nothing changes."""
    if origins:
        app.add_middleware(
            CorsErrorMiddleware,
            allow_origins=origins,
            allow_methods=ALLOWED_METHODS,
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
