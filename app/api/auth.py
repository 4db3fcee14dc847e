"""Who is calling: API keys where the operator set any, and the name under which a caller's requests are counted."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from app.errors import Forbidden, Unauthorized
from app.settings import Settings, setting_name

_bearer = HTTPBearer(auto_error=False, description="An API key, where the service is set up with keys.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def key_digests(settings: Settings) -> list[bytes]:
    """SHA-256 of each key that opens `/v1`, none where everyone is let in; the keys themselves are not kept. Raises
    ValueError for a `sha256:` that is none.
    """
    keys = _digests(settings.auth.keys, setting_name("auth", "keys"))
    return keys + admin_digests(settings) if keys else []


def admin_digests(settings: Settings) -> list[bytes]:
    """SHA-256 of each key that opens `/v1/admin`. Raises ValueError as `key_digests`."""
    return _digests(settings.auth.admin_keys, setting_name("auth", "admin_keys"))


def client(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str:
    """The caller's name for counting: its key's digest, else its address. Raises Unauthorized (401)."""
    digests: list[bytes] = request.app.state.key_digests
    if not digests:
        return request.client.host if request.client else "unknown"
    if credentials is None:
        raise Unauthorized("No API key. Send it as `Authorization: Bearer <key>`.", code="missing_api_key")
    given = _digest(credentials.credentials)
    if not _known(given, digests):
        raise Unauthorized("This API key is not known here.", code="invalid_api_key")
    return given.hex()


def owner(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str:
    """Whose a thing is that outlives the request: its key's digest; nobody's where there are no keys, since addresses
    change hands. Raises Unauthorized (401).
    """
    return client(request, credentials) if request.app.state.key_digests else ""


def require_key(request: Request, credentials: Credentials) -> None:
    """Dependency of routes that only need to know that the caller may."""
    client(request, credentials)


def require_admin(request: Request, credentials: Credentials) -> None:
    """Dependency of routes by which an operator changes what is served. Raises Forbidden (403), Unauthorized (401)."""
    digests: list[bytes] = request.app.state.admin_digests
    if not digests:
        raise Forbidden(
            f"Nobody may change what is served here. The setting is {setting_name('auth', 'admin_keys')}.",
            code="admin_disabled",
        )
    if credentials is None:
        raise Unauthorized("No API key. Send it as `Authorization: Bearer <key>`.", code="missing_api_key")
    if not _known(_digest(credentials.credentials), digests):
        client(request, credentials)
        raise Forbidden("This API key may not change what is served.", code="not_admin")


def _known(given: bytes, digests: list[bytes]) -> bool:
    # Every key is compared, each in constant time: the answer's time says nothing about the keys.
    return sum(hmac.compare_digest(given, known) for known in digests) > 0


def _digests(secrets: list[SecretStr], setting: str) -> list[bytes]:
    digests = []
    for secret in secrets:
        key = secret.get_secret_value()
        digest = bytes.fromhex(key.removeprefix("sha256:")) if key.startswith("sha256:") else _digest(key)
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError(f"{setting}: what follows sha256: must have 64 hexadecimal digits")
        digests.append(digest)
    return digests


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
