"""From a host to a connection: resolved once, every address checked, and connected to one of those very addresses.

A name that answers differently the next time it is asked (DNS rebinding) is not asked a next time: the connection goes
to the checked address, while TLS and the `Host` header go by the name. Knows nothing about HTTP.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpcore

from app.errors import InvalidRequest
from app.fetch.addresses import Address, is_public
from app.fetch.url import Location

log = logging.getLogger(__name__)

LOOKUPS_AT_ONCE = 4
MOST_ADDRESSES = 4  # that are tried
Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Resolver:
    """Asks the system for a name's addresses, in threads of its own: a name server that does not answer holds up
    nothing but other look-ups. Raises OSError.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        """Take no more names. Harmless twice."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def public_addresses(location: Location, resolve: Resolve) -> list[Address]:
    """The addresses of a URL's host. Raises InvalidRequest (400) if there is none or if any of them is not public.

    Both are one answer, so that nobody learns here which names there are inside.
    """
    try:
        found = [location.host] if location.address else await resolve(location.host)
        addresses = [ip_address(text) for text in found]
    except (OSError, ValueError) as error:
        log.info("%s was not resolved: %s", location.host, error)
        addresses = []
    if not addresses or not all(is_public(address) for address in addresses):
        log.info("%s is not fetched from: its addresses are %s", location.host, [str(one) for one in addresses])
        raise InvalidRequest(
            "No public address was found for the URL's host. Private, local and reserved addresses are never fetched "
            "from; no setting changes that.",
            code="audio_url_not_allowed",
            param="url",
        )
    return addresses[:MOST_ADDRESSES]


class Pinned(httpcore.AsyncNetworkBackend):
    """Connects to the given addresses, one after the other until one answers, whatever host it is asked for."""

    def __init__(self, addresses: Sequence[Address], network: httpcore.AsyncNetworkBackend) -> None:
        self._addresses = addresses
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """One connection. Raises httpcore's ConnectError, ConnectTimeout. timeout: seconds for all addresses."""
        end = None if timeout is None else time.perf_counter() + timeout
        failure: Exception = httpcore.ConnectError("no address")
        for left, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            share = None if end is None else max(0.0, end - time.perf_counter()) / left
            try:
                return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _look_up(host: str) -> list[tuple[int, int, int, str, tuple[str | int | bytes, ...]]]:
    return list(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
