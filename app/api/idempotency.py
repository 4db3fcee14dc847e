"""The header `Idempotency-Key`: a request that is repeated under it gets the first one's answer
(`app.jobs.idempotency_store`).
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.api.sse import EventStreamResponse
from app.core.errors import Conflict, InvalidRequest, ServiceError
from app.jobs.idempotency_store import IdempotencyStore, Reservation, StoredResponse

log = logging.getLogger(__name__)

IDEMPOTENCY_KEY_HEADER = "idempotency-key"
REPLAYED_HEADERS = {"idempotent-replayed": "true"}
MAX_KEY_CHARACTERS = 255


async def fingerprint(request: Request, audio: BinaryIO | None, *asked: BaseModel | str | None) -> str:
    """SHA-256 of what is asked, recording and all, as hex; empty where no repeat is to be known."""
    if IDEMPOTENCY_KEY_HEADER not in request.headers:
        return ""
    plain = [request.url.path, *(one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in asked)]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    if audio is not None:
        audio.seek(0)
        recording = await asyncio.to_thread(hashlib.file_digest, audio, "sha256")  # type: ignore[arg-type]
        audio.seek(0)
        digest.update(recording.digest())
    return digest.hexdigest()


async def reserve_key(request: Request, owner: str, request_fingerprint: str) -> Reservation | Response | None:
    """The key, for this request alone; the answer that it has already; or None without the header.

    Raises InvalidRequest (400) for a key that is none, Conflict (409), Unprocessable (422).
    """
    key = request.headers.get(IDEMPOTENCY_KEY_HEADER)
    if key is None:
        return None
    if not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} printable ASCII characters.",
            code="invalid_idempotency_key",
        )
    answers: IdempotencyStore = request.app.state.jobs.answers
    found = await answers.reserve(owner, key, request_fingerprint)
    return (
        Response(found.body, found.status, found.headers | REPLAYED_HEADERS)
        if isinstance(found, StoredResponse)
        else found
    )


@asynccontextmanager
async def key_reservation(
    request: Request, owner: str, request_fingerprint: str
) -> AsyncIterator[Reservation | Response | None]:
    """`reserve_key`, around the making of an answer: where that fails, the key is free again."""
    found = await reserve_key(request, owner, request_fingerprint)
    try:
        yield found
    except BaseException:
        if isinstance(found, Reservation):
            await asyncio.shield(_release_key(request.app.state.jobs.answers, found))
        raise


def stored_response(response: Response, body: bytes) -> StoredResponse:
    """What is kept of a response. body: all that it sends."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return StoredResponse(response.status_code, headers, body)


async def respond_once(
    request: Request,
    owner: str,
    request_fingerprint: str,
    make_response: Callable[[], Awaitable[Response]],
    on_replay: Callable[[], None],
) -> Response:
    """The answer that `make` makes, kept under the request's key if it has one; or the one that is kept, and `unmade`
    is called. Failures are not kept. Raises as `reserve_key`.
    """
    async with key_reservation(request, owner, request_fingerprint) as found:
        if isinstance(found, Response):
            on_replay()
            return found
        response = await make_response()
    if found is None:
        return response
    answers: IdempotencyStore = request.app.state.jobs.answers

    async def store_response(body: bytes | None) -> None:
        if body is None:
            await _release_key(answers, found)
            return
        try:
            await answers.store(found, stored_response(response, body))
        except Conflict:
            if not isinstance(
                response, EventStreamResponse
            ):  # of a stream the caller has everything but its end already
                raise
        except ServiceError:  # the database; what was made is given all the same
            log.exception("an answer could not be kept under its Idempotency-Key")

    if isinstance(response, EventStreamResponse):
        response.on_complete = store_response
    else:
        await store_response(bytes(response.body))
    return response


async def _release_key(answers: IdempotencyStore, reservation: Reservation) -> None:
    try:
        await answers.release(reservation)
    except ServiceError:  # the database; the key is free when its lease is over
        log.exception("an Idempotency-Key could not be freed")
