"""Posts to a URL that a caller named: to public addresses, and to hosts that the operator named whatever theirs are.

Every connection resolves, checks and pins anew (`connect`). No redirect is followed, no proxy asked, and of the answer
nothing is read but its status. Knows nothing about what is posted.
"""

import asyncio
import socket
import ssl
from collections.abc import Collection, Mapping

import httpcore

from app.core.errors import InvalidRequest
from app.fetch.connector import LOOKUPS_AT_ONCE, Door, Resolve, Resolver, addresses_of, public_addresses
from app.fetch.url import parse

CHECK_SECONDS = 5  # that looking up a host may take before a URL is accepted
NO_ANSWER = (socket.EAI_AGAIN,)  # of a look-up: whether there is such a host is not known now


class NotHeard(Exception):
    """A message could not be delivered; says why."""


class Poster:
    """known: hosts that may be posted to although their address is not public, and whatever they look like.

    seconds: longest for connecting, and between two pieces. resolve, door: how names become addresses, and how these
    are reached; the system's ways if left out. at_once: how many names are looked up at the same time.
    """

    def __init__(
        self,
        known: Collection[str],
        seconds: float,
        resolve: Resolve | None = None,
        door: Door | None = None,
        at_once: int = LOOKUPS_AT_ONCE,
    ) -> None:
        self._known = known
        self._seconds = seconds
        self._resolver = Resolver(at_once)
        self._checker = Resolver()  # so that requests do not wait for what is being delivered
        self._resolve = resolve or self._resolver
        self._resolve_to_check = resolve or self._checker
        self._door = door or Door()

    async def check(self, url: str) -> None:
        """Refuse a URL that is not posted to: that has no host, or one whose address is not public. Raises
        InvalidRequest (400). A host that cannot be looked up now passes; it is looked up, and checked, again when it is
        posted to.
        """
        location = parse(url, self._known)
        if location.host in self._known:
            return

        async def resolve(host: str) -> list[str]:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    return list(await self._resolve_to_check(host))
            except TimeoutError as error:
                raise _Unknown from error
            except socket.gaierror as error:
                if error.errno in NO_ANSWER:
                    raise _Unknown from error
                raise

        try:
            await public_addresses(location, resolve)
        except _Unknown:
            return

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
        self._checker.close()


class _Unknown(Exception):
    """A host could not be looked up now."""
