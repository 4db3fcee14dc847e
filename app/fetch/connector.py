"""From a host to an answer: resolved once, every address checked, and connected to one of those very addresses.

A name that answers differently the next time it is asked (DNS rebinding) is not asked a next time: the connection goes
to the checked address, while TLS and the `Host` header go by the name. Knows nothing about what is asked.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import httpcore
import httpx

from app.core.errors import InvalidRequest
from app.fetch.public_addresses import Address, is_public
from app.fetch.url import ParsedUrl

log = logging.getLogger(__name__)

MAX_CONCURRENT_LOOKUPS = 4
MAX_ADDRESSES = 4  # that are tried
ResolveHost = Callable[[str], Awaitable[Sequence[str]]]


class Resolver:
    """Asks the system for a name's addresses, in threads of its own: a name server that does not answer holds up
    nothing but other look-ups. Raises OSError.
    """

    def __init__(self, at_once: int = MAX_CONCURRENT_LOOKUPS) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _getaddrinfo, host)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        """Take no more names. Harmless twice."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def resolve_addresses(location: ParsedUrl, resolve: ResolveHost) -> list[Address]:
    """The addresses of a URL's host; none if it has none."""
    try:
        found = [location.host] if location.address else await resolve(location.host)
        return [ip_address(text) for text in found]
    except (OSError, ValueError) as error:
        log.info("%s was not resolved: %s", location.host, error)
        return []


async def resolve_public_addresses(location: ParsedUrl, resolve: ResolveHost) -> list[Address]:
    """The addresses of a URL's host. Raises InvalidRequest (400) if there is none or if any of them is not public.

    Both are one answer, so that nobody learns here which names there are inside.
    """
    addresses = await resolve_addresses(location, resolve)
    if not addresses or not all(is_public(address) for address in addresses):
        log.info("%s is not connected to: its addresses are %s", location.host, [str(one) for one in addresses])
        raise InvalidRequest(
            "No public address was found for the URL's host. Private, local and reserved addresses are not connected "
            "to.",
            code="audio_url_not_allowed",
            param="url",
        )
    return addresses


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the given addresses, one after the other until one answers or four have not, whatever host it is
    asked for.
    """

    def __init__(self, addresses: Sequence[Address], network: httpcore.AsyncNetworkBackend) -> None:
        self._addresses = addresses[:MAX_ADDRESSES]
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


@dataclass
class HttpConnector:
    """How the outside is reached.

    network: what makes connections; plain TCP if left out. tls: which certificates are trusted; the usual ones, loaded
    when they are first needed.
    """

    network: httpcore.AsyncNetworkBackend = field(default_factory=httpcore.AnyIOBackend)
    tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def open_response(
        self,
        method: str,
        location: ParsedUrl,
        addresses: Sequence[Address],
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        connect_s: float,
        idle_s: float,
    ) -> AsyncIterator[httpcore.Response]:
        """The answer to one request, its body unread, over a connection of its own. Raises httpcore's exceptions and
        ssl.SSLError.

        connect_s, idle_s: longest for connecting, and between two pieces.
        """
        request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=location.scheme, host=location.host, port=location.port, target=location.target.encode("ascii")
            ),
            headers=[("host", location.authority), *headers.items()],
            content=content,
            extensions={"timeout": {"connect": connect_s, "read": idle_s, "write": idle_s, "pool": connect_s}},
        )
        if self.tls is None:
            self.tls = httpx.create_ssl_context()
        network = PinnedBackend(addresses, self.network)
        async with httpcore.AsyncConnectionPool(self.tls, max_connections=1, network_backend=network) as pool:
            answer = await pool.handle_async_request(request)
            try:
                yield answer
            finally:
                await answer.aclose()


def _getaddrinfo(host: str) -> list[tuple[int, int, int, str, tuple[str | int | bytes, ...]]]:
    return list(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
