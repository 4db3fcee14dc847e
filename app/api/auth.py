"""Who is calling: API keys where the operator wants them, the name under which a caller's requests are counted, and
what of its quotas is left.

A key that is sent has to be a good one, also where none is required: a caller whose key was revoked, or is misspelt,
would otherwise go on without its quotas and under no name.

Quotas are told as the IETF draft (draft-ietf-httpapi-ratelimit-headers) has it, `RateLimit-Policy` and `RateLimit`, and
those of requests also in OpenAI's names (`x-ratelimit-…-requests`).
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

_bearer = HTTPBearer(auto_error=False, description="An API key, where the service is set up with keys.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]

# What is sent by clients that insist on some key where there is none to send: OpenAI's, in their examples and vLLM's.
PLACEHOLDER_KEYS = frozenset(("none", "empty"))
# Schemes by which a proxy before the service lets callers in; what they carry is no API key.
PROXY_SCHEMES = frozenset(("basic", "digest", "negotiate", "ntlm"))


@dataclass(frozen=True)
class Caller:
    """name: under which its requests are counted: its key's owner, else its address. owner: whose a thing is that
    outlives the request; nobody's (empty) where there is no key, since addresses change hands. key: its key.
    """

    name: str
    owner: str = ""
    key: Key | None = None


async def authenticate(request: Request, credentials: HTTPAuthorizationCredentials | None, scope: str = "") -> Caller:
    """The caller, who may do what `scope` names. Raises Unauthorized (401), Forbidden (403)."""
    key = await _find_key(request, credentials)
    return _authorize(request, key, scope)


async def authenticate_and_charge(
    request: Request, credentials: HTTPAuthorizationCredentials | None, scope: str
) -> Caller:
    """`authenticate`, and a request is taken from its key's quota; the answer will tell what is left. Raises
    TooManyRequests (429) too.
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
    """Dependency of routes that only need to know that the caller may."""
    await authenticate(request, credentials)


async def require_admin(request: Request, credentials: Credentials) -> None:
    """Dependency of routes by which an operator changes what is served; nobody may without a key. Raises Unauthorized
    (401), Forbidden (403).
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
            "This API key is not known here, or it was revoked or is over. Send a good one as `Authorization: Bearer "
            "<key>`" + ("." if key_required or keys.keys_required else ", or none: this service requires none."),
            code="invalid_api_key",
        )
    return found


def _is_key_sent(request: Request, credentials: HTTPAuthorizationCredentials | None) -> bool:
    """Whether the request carries what is meant for an API key, in whatever form."""
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
