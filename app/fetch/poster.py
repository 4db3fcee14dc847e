"""Posts to a URL that a caller named: to public addresses, and to hosts that the operator trusts, whatever their
address.

Every connection resolves and checks the host again, and goes to the checked address (`connector`). No redirect is
followed, no proxy is used, and nothing is read of the response but its status. Knows nothing about what is posted.
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

LOOKUP_TIMEOUT_SECONDS = 5  # a URL is accepted if looking up its host takes longer than this
TEMPORARY_LOOKUP_ERRORS = (socket.EAI_AGAIN,)  # they leave open whether there is such a host


class DeliveryFailed(Exception):
    """A message could not be delivered. The text says why."""


class Poster:
    """Sends POST requests.

    Args:
        trusted_hosts: hosts that may be posted to although their address is not public, whatever they look like.
        seconds: longest time to connect, and longest pause between two pieces.
        resolve: resolves names; the system's resolver by default.
        connector: sends the requests; plain TCP and the usual certificates by default.
        max_concurrent_lookups: look-ups at the same time; more wait.
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
        self._check_resolver = Resolver()  # a second one, so that requests do not wait for deliveries
        self._resolve = resolve or self._resolver
        self._resolve_to_check = resolve or self._check_resolver
        self._connector = connector or HttpConnector()

    async def check_url(self, url: str) -> None:
        """Refuse a URL that cannot be posted to, because it has no host or its host has no public address.

        A host that cannot be looked up now passes. It is looked up and checked again when it is posted to.

        Raises:
            InvalidRequest: (400) if the URL is refused.
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
        """Post the content and return the status of the response. Raises DeliveryFailed if there is none."""
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
        """Accept no more names to resolve. Safe to call twice."""
        self._resolver.close()
        self._check_resolver.close()


class _LookupFailed(Exception):
    """A host could not be looked up now."""
