"""Calls of replicas that are made again if the replica, or its machine, is lost meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import ReplicaUnavailableError

from app.core.errors import EngineDead, ServiceError, Unavailable

T = TypeVar("T")
log = logging.getLogger(__name__)

TRIES = 4
PAUSE_S = 0.5  # before the second try; twice as long before each further one
LOST = (RayActorError, NodeDiedError, ObjectLostError, WorkerCrashedError, ReplicaUnavailableError)


class ReplicaLost(Exception):
    """The replica of a call is gone, or its engine has died. Another one may answer."""


async def call_replica(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a call, which is made again if its replica is lost.

    what: names the deployment in messages. Raises the ServiceError that the replica raised, or Unavailable (503) if
    replicas were lost again and again.
    """
    for number in range(TRIES):
        await pause_before(number)
        try:
            return await _translate_errors(call())
        except ReplicaLost as error:
            log.warning("A replica of %s was lost during a call: %s", what, error)
    raise lost_error(what)


async def read_replica(stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield what a replica's generator yields. Raises ReplicaLost, or the ServiceError that the replica raised."""
    while True:
        try:
            yield await _translate_errors(anext(stream))
        except StopAsyncIteration:
            return


async def pause_before(number: int) -> None:
    """Wait before a try, unless it is the first one (0), so that Serve notices the loss meanwhile."""
    if number:
        await asyncio.sleep(PAUSE_S * 2 ** (number - 1))


def lost_error(what: str) -> Unavailable:
    """Return the error for a call whose replicas were lost again and again, or cannot be repeated."""
    return Unavailable(
        f"The {what} was lost while it worked on the request. Try again.", code="engine_lost", retry_after_s=5
    )


async def _translate_errors(call: Awaitable[T]) -> T:
    try:
        return await call
    except RayTaskError as error:  # an exception in the replica
        cause = error.cause
        if isinstance(cause, EngineDead):
            raise ReplicaLost(cause.message) from error
        if isinstance(cause, ServiceError):
            raise cause from None
        raise
    except LOST as error:
        raise ReplicaLost(str(error).splitlines()[0]) from error
