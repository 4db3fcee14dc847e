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
from app.fetch.connector import (
    MAX_CONCURRENT_LOOKUPS,
    HttpConnector,
    ResolveHost,
    Resolver,
    resolve_addresses,
    resolve_public_addresses,
)
from app.fetch.url import parse_url

LOOKUP_TIMEOUT_SECONDS = 5  # that looking up a host may take before a URL is accepted
TEMPORARY_LOOKUP_ERRORS = (socket.EAI_AGAIN,)  # of a look-up: whether there is such a host is not known now


class DeliveryFailed(Exception):
    """A message could not be delivered; says why."""


class Poster:
    """known: hosts that may be posted to although their address is not public, and whatever they look like.

    seconds: longest for connecting, and between two pieces. resolve, door: how names become addresses, and how these
    are reached; the system's ways if left out. at_once: how many names are looked up at the same time.
    """

    def __init__(
        self,
        trusted_hosts: Collection[str],
        seconds: float,
        resolve: ResolveHost | None = None,
        connector: HttpConnector | None = None,
        max_concurrent_lookups: int = MAX_CONCURRENT_LOOKUPS,
    ) -> None:
        self._trusted_hosts = trusted_hosts
        self._seconds = seconds
        self._resolver = Resolver(max_concurrent_lookups)
        self._check_resolver = Resolver()  # so that requests do not wait for what is being delivered
        self._resolve = resolve or self._resolver
        self._resolve_to_check = resolve or self._check_resolver
        self._connector = connector or HttpConnector()

    async def check_url(self, url: str) -> None:
        """Refuse a URL that is not posted to: that has no host, or one whose address is not public. Raises
        InvalidRequest (400). A host that cannot be looked up now passes; it is looked up, and checked, again when it is
        posted to.
        """
        location = parse_url(url, self._trusted_hosts)
        if location.host in self._trusted_hosts:
            return

        async def resolve(host: str) -> list[str]:
            try:
                async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
                    return list(await self._resolve_to_check(host))
            except TimeoutError as error:
                raise _LookupFailed from error
            except socket.gaierror as error:
                if error.errno in TEMPORARY_LOOKUP_ERRORS:
                    raise _LookupFailed from error
                raise

        try:
            await resolve_public_addresses(location, resolve)
        except _LookupFailed:
            return

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """The status that is answered. Raises NotHeard."""
        try:
            location = parse_url(url, self._trusted_hosts)
            look_up = resolve_addresses if location.host in self._trusted_hosts else resolve_public_addresses
            addresses = await look_up(location, self._resolve)
            async with self._connector.open_response(
                "POST", location, addresses, headers, content, connect_s=self._seconds, idle_s=self._seconds
            ) as answer:
                return answer.status
        except InvalidRequest as error:
            raise DeliveryFailed(error.message) from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, ssl.SSLError) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Look up no more names. Harmless twice."""
        self._resolver.close()
        self._check_resolver.close()


class _LookupFailed(Exception):
    """A host could not be looked up now."""
