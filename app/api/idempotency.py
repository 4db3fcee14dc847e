"""The header `Idempotency-Key`: a request that is repeated under the same key gets the first request's answer.

Reserves keys and stores answers for routes; how they are kept is in `app.jobs.idempotency_store`. Knows nothing about
what is answered.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.api.app_state import app_state
from app.api.sse import EventStreamResponse
from app.core.errors import Conflict, InvalidRequest, ServiceError
from app.jobs.idempotency_store import IdempotencyStore, Reservation, StoredResponse

log = logging.getLogger(__name__)

IDEMPOTENCY_KEY_HEADER = "idempotency-key"
REPLAYED_HEADERS = {"idempotent-replayed": "true"}
MAX_KEY_CHARACTERS = 255


@dataclass(frozen=True)
class IdempotentRequest:
    """A request, with or without an Idempotency-Key.

    stored_response: the answer to give instead of working on the request, if an earlier request has stored one.
    reservation: the key, which this request holds while it is worked on. Without a key, both are None.
    """

    store: IdempotencyStore
    stored_response: Response | None = None
    reservation: Reservation | None = None

    async def keep(self, response: Response) -> Response:
        """Return the response, and store it under the key, if there is one. A stream is stored when its last event is
        about to be sent; if it fails or the client leaves, the key is released.

        Raises: Conflict (409) if another request has taken the key over, and so answers for both.
        """
        if self.reservation is None:
            return response
        if isinstance(response, EventStreamResponse):
            response.on_complete = partial(self._keep_stream, response, self.reservation)
        else:
            await self._store(self.reservation, stored_response(response, bytes(response.body)))
        return response

    async def release(self) -> None:
        """Free the key for the next request, because this one has failed."""
        if self.reservation is None:
            return
        try:
            await self.store.release(self.reservation)
        except ServiceError:  # of the database; the key becomes free when its lease expires
            log.exception("An Idempotency-Key could not be released")

    async def _keep_stream(self, response: Response, reservation: Reservation, body: bytes | None) -> None:
        if body is None:
            await self.release()
            return
        with suppress(Conflict):  # the client has received everything but the end of this answer already
            await self._store(reservation, stored_response(response, body))

    async def _store(self, reservation: Reservation, stored: StoredResponse) -> None:
        try:
            await self.store.store(reservation, stored)
        except Conflict:
            raise
        except ServiceError:  # of the database; the caller gets the answer nevertheless
            log.exception("An answer could not be stored under its Idempotency-Key")


async def fingerprint(request: Request, audio: BinaryIO | None, *contents: BaseModel | str | None) -> str:
    """Return the SHA-256 of what the request asks for, as hex. It is empty for a request without an Idempotency-Key.

    audio: the recording, if it is a part of the request; it is rewound. contents: everything else that the answer
    depends on.
    """
    if IDEMPOTENCY_KEY_HEADER not in request.headers:
        return ""
    plain = [
        request.url.path,
        *(one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in contents),
    ]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    if audio is not None:
        audio.seek(0)
        recording = await asyncio.to_thread(hashlib.file_digest, audio, "sha256")  # type: ignore[arg-type]
        audio.seek(0)
        digest.update(recording.digest())
    return digest.hexdigest()


@asynccontextmanager
async def idempotent_request(
    request: Request, owner: str, request_fingerprint: str
) -> AsyncIterator[IdempotentRequest]:
    """Reserve the request's key around the work on its answer. If the work fails, the key is released.

    owner: whose key it is; keys of different owners are different keys.

    Raises: InvalidRequest (400) if the key is malformed, Conflict (409) if an equal request is still being worked on,
        Unprocessable (422) if the key was used for a different request.
    """
    idempotent = await _reserve_key(request, owner, request_fingerprint)
    try:
        yield idempotent
    except BaseException:
        await asyncio.shield(idempotent.release())
        raise


def stored_response(response: Response, body: bytes) -> StoredResponse:
    """Return what is stored of a response. body: everything that it sends."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return StoredResponse(response.status_code, headers, body)


async def _reserve_key(request: Request, owner: str, request_fingerprint: str) -> IdempotentRequest:
    store: IdempotencyStore = app_state(request).jobs.answers
    key = request.headers.get(IDEMPOTENCY_KEY_HEADER)
    if key is None:
        return IdempotentRequest(store)
    if not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} printable ASCII characters.",
            code="invalid_idempotency_key",
        )
    found = await store.reserve(owner, key, request_fingerprint)
    if isinstance(found, StoredResponse):
        return IdempotentRequest(store, Response(found.body, found.status, found.headers | REPLAYED_HEADERS))
    return IdempotentRequest(store, reservation=found)
