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

from app.api.sse import EventStream
from app.core.errors import Conflict, InvalidRequest, ServiceError
from app.jobs.idempotency_store import Answer, Answers, Reservation

log = logging.getLogger(__name__)

HEADER = "idempotency-key"
REPLAYED = {"idempotent-replayed": "true"}
LONGEST = 255


async def fingerprint(request: Request, audio: BinaryIO | None, *asked: BaseModel | str | None) -> str:
    """SHA-256 of what is asked, recording and all, as hex; empty where no repeat is to be known."""
    if HEADER not in request.headers:
        return ""
    plain = [request.url.path, *(one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in asked)]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    if audio is not None:
        audio.seek(0)
        recording = await asyncio.to_thread(hashlib.file_digest, audio, "sha256")  # type: ignore[arg-type]
        audio.seek(0)
        digest.update(recording.digest())
    return digest.hexdigest()


async def reserved(request: Request, owner: str, asked: str) -> Reservation | Response | None:
    """The key, for this request alone; the answer that it has already; or None without the header.

    Raises InvalidRequest (400) for a key that is none, Conflict (409), Unprocessable (422).
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {LONGEST} printable ASCII characters.", code="invalid_idempotency_key"
        )
    answers: Answers = request.app.state.jobs.answers
    found = await answers.reserve(owner, key, asked)
    return Response(found.body, found.status, found.headers | REPLAYED) if isinstance(found, Answer) else found


@asynccontextmanager
async def reserving(request: Request, owner: str, asked: str) -> AsyncIterator[Reservation | Response | None]:
    """`reserved`, around the making of an answer: where that fails, the key is free again."""
    found = await reserved(request, owner, asked)
    try:
        yield found
    except BaseException:
        if isinstance(found, Reservation):
            await asyncio.shield(_release(request.app.state.jobs.answers, found))
        raise


def kept_answer(response: Response, body: bytes) -> Answer:
    """What is kept of a response. body: all that it sends."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Answer(response.status_code, headers, body)


async def given_once(
    request: Request,
    owner: str,
    asked: str,
    make: Callable[[], Awaitable[Response]],
    unmade: Callable[[], None],
) -> Response:
    """The answer that `make` makes, kept under the request's key if it has one; or the one that is kept, and `unmade`
    is called. Failures are not kept. Raises as `reserved`.
    """
    async with reserving(request, owner, asked) as found:
        if isinstance(found, Response):
            unmade()
            return found
        response = await make()
    if found is None:
        return response
    answers: Answers = request.app.state.jobs.answers

    async def keep(body: bytes | None) -> None:
        if body is None:
            await _release(answers, found)
            return
        try:
            await answers.keep(found, kept_answer(response, body))
        except Conflict:
            if not isinstance(response, EventStream):  # of a stream the caller has everything but its end already
                raise
        except ServiceError:  # the database; what was made is given all the same
            log.exception("an answer could not be kept under its Idempotency-Key")

    if isinstance(response, EventStream):
        response.then = keep
    else:
        await keep(bytes(response.body))
    return response


async def _release(answers: Answers, reservation: Reservation) -> None:
    try:
        await answers.release(reservation)
    except ServiceError:  # the database; the key is free when its lease is over
        log.exception("an Idempotency-Key could not be freed")
