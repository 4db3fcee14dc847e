"""Posts to a URL that a caller named: to public addresses, and to hosts that the operator named whatever theirs are.

Every connection resolves, checks and pins anew (`connect`). No redirect is followed, no proxy asked, and of the answer
nothing is read but its status. Knows nothing about what is posted.
"""

import ssl
from collections.abc import Collection, Mapping

import httpcore

from app.errors import InvalidRequest
from app.fetch.connect import Door, Resolve, Resolver, addresses_of, public_addresses
from app.fetch.url import parse


class NotHeard(Exception):
    """A message could not be delivered; says why."""


class Poster:
    """known: hosts that may be posted to although their address is not public, and whatever they look like.

    seconds: longest for connecting, and between two pieces. resolve, door: how names become addresses, and how these
    are reached; the system's ways if left out.
    """

    def __init__(
        self, known: Collection[str], seconds: float, resolve: Resolve | None = None, door: Door | None = None
    ) -> None:
        self._known = known
        self._seconds = seconds
        self._resolver = Resolver()
        self._resolve = resolve or self._resolver
        self._door = door or Door()

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """The status that is answered. Raises NotHeard."""
        try:
            location = parse(url, self._known)
            look_up = addresses_of if location.host in self._known else public_addresses
            addresses = await look_up(location, self._resolve)
            async with self._door.answer(
                "POST", location, addresses, headers, content, connect_s=self._seconds, idle_s=self._seconds
            ) as answer:
                return answer.status
        except InvalidRequest as error:
            raise NotHeard(error.message) from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, ssl.SSLError) as error:
            raise NotHeard(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Look up no more names. Harmless twice."""
        self._resolver.close()
