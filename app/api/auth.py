"""Authentication by API key, and the quotas of a key in the headers of a response.

A key that is sent must be valid, even if the service requires none: a caller whose key was revoked or misspelt would
otherwise continue without the key's quotas and under no name.

Quotas are shown in the headers of the IETF draft (draft-ietf-httpapi-ratelimit-headers), `RateLimit-Policy` and
`RateLimit`, and the quota of requests also in OpenAI's (`x-ratelimit-…-requests`). Knows nothing about how keys are
kept.
"""

from dataclasses import dataclass
from math import ceil
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.api.app_state import app_state
from app.api.middleware.request_id import add_response_headers
from app.core.errors import Forbidden, Unauthorized
from app.keys.authenticator import REQUESTS_QUOTA, Key
from app.keys.quotas import QuotaState
from app.server.open_connections import client_network
from app.telemetry.request_record import note_request

_bearer = HTTPBearer(auto_error=False, description="An API key, if the service is set up with keys.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]

# What clients send that insist on some key when they have none: OpenAI's in its examples, and vLLM's.
PLACEHOLDER_KEYS = frozenset(("none", "empty"))
# Schemes by which a proxy in front of the service authenticates callers; what they carry is no API key.
PROXY_SCHEMES = frozenset(("basic", "digest", "negotiate", "ntlm"))


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    name: under which the requests are counted: the key's owner, or without a key the network address. owner: to whom
    things belong that outlive the request; empty without a key, since an address may pass to somebody else. key: the
    API key, if one was sent.
    """

    name: str
    owner: str = ""
    key: Key | None = None


async def authenticate(request: Request, credentials: HTTPAuthorizationCredentials | None, scope: str = "") -> Caller:
    """Return the caller. scope: what the key must permit.

    Raises: Unauthorized (401) if a required key is missing, or if the key is not valid, Forbidden (403) if it does not
        have the scope.
    """
    key = await _find_key(request, credentials)
    return _authorize(request, key, scope)


async def authenticate_and_charge(
    request: Request, credentials: HTTPAuthorizationCredentials | None, scope: str
) -> Caller:
    """Return the caller, and charge one request to its key's quota. The response's headers tell what is left of it.

    Raises: what `authenticate` raises, and TooManyRequests (429) if the quota is used up.
    """
    key = await _find_key(request, credentials)
    caller = _authorize(request, key, scope)
    if key is not None and key.quotas:
        keys = app_state(request).keys
        try:
            await keys.take_quota(key, REQUESTS_QUOTA, 1)
        finally:
            add_response_headers(request.scope, _rate_limit_headers(await keys.quota_states(key)))
    return caller


async def require_key(request: Request, credentials: Credentials) -> None:
    """Dependency of routes that only need an authenticated caller. Raises what `authenticate` raises."""
    await authenticate(request, credentials)


async def require_admin(request: Request, credentials: Credentials) -> None:
    """Dependency of routes by which an operator changes what is served. They require a key even if the service requires
    none for other routes.

    Raises: Unauthorized (401) without a valid key, Forbidden (403) if the key does not have the scope `admin`.
    """
    _authorize(request, await _find_key(request, credentials, key_required=True), "admin")


async def _find_key(
    request: Request, credentials: HTTPAuthorizationCredentials | None, key_required: bool = False
) -> Key | None:
    keys = app_state(request).keys
    if not _is_key_sent(request, credentials):
        if key_required or keys.keys_required:
            raise Unauthorized("No API key. Send it as `Authorization: Bearer <key>`.", code="missing_api_key")
        return None
    found = None if credentials is None else await keys.authenticate(credentials.credentials)
    if found is None:
        raise Unauthorized(
            "This API key is not known, was revoked or has expired. Send a valid one as `Authorization: Bearer <key>`"
            + ("." if key_required or keys.keys_required else ", or none: this service requires none."),
            code="invalid_api_key",
        )
    return found


def _is_key_sent(request: Request, credentials: HTTPAuthorizationCredentials | None) -> bool:
    """Return whether the request carries something that is meant as an API key, in any form."""
    scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
    if credentials is not None:
        return credentials.credentials.strip().lower() not in PLACEHOLDER_KEYS
    return bool(scheme) and (bool(rest.strip()) or scheme.lower() != "bearer") and scheme.lower() not in PROXY_SCHEMES


def _authorize(request: Request, key: Key | None, scope: str) -> Caller:
    if key is None:
        return Caller(client_network(request.client.host) if request.client else "unknown")
    if scope and scope not in key.scopes:
        raise Forbidden(
            f"This API key may not do this: it lacks the scope {scope!r}, and has {', '.join(sorted(key.scopes))}.",
            code="scope_missing",
        )
    note_request(key=key.name)
    return Caller(key.owner, key.owner, key)


def _rate_limit_headers(quota_states: list[QuotaState]) -> dict[str, str]:
    headers = {
        "ratelimit-policy": ", ".join(
            f'"{one.quota.name}";q={one.quota.limit:.0f};w={one.quota.window_s}' for one in quota_states
        ),
        "ratelimit": ", ".join(
            f'"{one.quota.name}";r={int(one.remaining)};t={ceil(one.reset_s)}' for one in quota_states
        ),
    }
    for one in quota_states:
        if one.quota.name == REQUESTS_QUOTA:
            headers |= {
                "x-ratelimit-limit-requests": f"{one.quota.limit:.0f}",
                "x-ratelimit-remaining-requests": str(int(one.remaining)),
                "x-ratelimit-reset-requests": f"{ceil(one.reset_s)}s",
            }
    return headers
