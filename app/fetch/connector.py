"""Resolves a host once, checks every address, and connects to one of these very addresses.

A name that resolves differently the next time (DNS rebinding) gains nothing, because it is not resolved again: the
connection goes to the checked address, while TLS and the `Host` header use the name. Knows nothing about what is
requested.
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
MAX_ADDRESSES = 4  # addresses of one host that are tried
ResolveHost = Callable[[str], Awaitable[Sequence[str]]]


class Resolver:
    """Resolves names with the system's resolver, in threads of its own.

    A name server that does not answer thus holds up nothing but other look-ups. A call raises OSError if the name has
    no address.

    Args:
        max_concurrent: look-ups at the same time; more wait.
    """

    def __init__(self, max_concurrent: int = MAX_CONCURRENT_LOOKUPS) -> None:
        self._threads = ThreadPoolExecutor(max_concurrent, thread_name_prefix="resolve")

    async def __call__(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        entries = await loop.run_in_executor(self._threads, _getaddrinfo, host)
        return list(dict.fromkeys(str(entry[4][0]) for entry in entries))

    def close(self) -> None:
        """Accept no more names. Safe to call twice."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def resolve_addresses(location: ParsedUrl, resolve: ResolveHost) -> list[Address]:
    """Return the addresses of a URL's host; empty if it has none."""
    try:
        texts = [location.host] if location.address else await resolve(location.host)
        return [ip_address(text) for text in texts]
    except (OSError, ValueError) as error:
        log.info("The host %s could not be resolved: %s", location.host, error)
        return []


async def resolve_public_addresses(location: ParsedUrl, resolve: ResolveHost) -> list[Address]:
    """Return the addresses of a URL's host, all of them public.

    Raises:
        InvalidRequest: (400, code "audio_url_not_allowed") if there is no address, or if one of them is not public. The
            message is the same in both cases, so that nobody learns from it which internal names exist.
    """
    addresses = await resolve_addresses(location, resolve)
    if not addresses or not all(is_public(address) for address in addresses):
        log.info("The host %s is refused: its addresses are %s", location.host, [str(one) for one in addresses])
        raise InvalidRequest(
            "No public address was found for the URL's host. The service does not connect to private, local and "
            "reserved addresses.",
            code="audio_url_not_allowed",
            param="url",
        )
    return addresses


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """A network backend that connects to the given addresses, whatever host it is asked for.

    It tries up to four of them, one after the other, until one answers.
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
        """Open a connection. The timeout, in seconds, is for all addresses together.

        Raises:
            httpcore.ConnectError: if no address accepts the connection.
            httpcore.ConnectTimeout: if none does so in time.
        """
        end = None if timeout is None else time.perf_counter() + timeout
        failure: Exception = httpcore.ConnectError("no address")
        for remaining, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            share_s = None if end is None else max(0.0, end - time.perf_counter()) / remaining
            try:
                return await self._network.connect_tcp(str(address), port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


@dataclass
class HttpConnector:
    """Sends HTTP requests to addresses that are already checked.

    Attributes:
        network: opens the connections; plain TCP by default.
        tls: the TLS context with the trusted certificates; the usual ones by default, loaded when they are first
            needed.
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
        """Send one request over a connection of its own, and yield the response with its body unread.

        Args:
            connect_s: longest time to connect, in seconds.
            idle_s: longest pause between two pieces, in seconds.

        Raises:
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, ssl.SSLError: if the request
                fails.
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
