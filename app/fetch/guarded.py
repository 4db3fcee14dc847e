"""A client for addresses that a caller named: it connects to public addresses alone.

A name is resolved when it is connected to, every address it has is checked, and the connection goes to one of those,
so that a name which answers differently the next time (DNS rebinding) gains nothing; TLS and the `Host` header go by
the name. Knows nothing about what is asked.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from ipaddress import ip_address

import httpcore
import httpx

from app.fetch.addresses import is_public

Resolve = Callable[[str], Awaitable[Sequence[str]]]


async def resolve(host: str) -> list[str]:
    """A name's addresses as the system knows them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guarded(httpcore.AsyncNetworkBackend):
    """Refuses a host of whose addresses one is not public, unless it is one of `trusted`."""

    def __init__(
        self, trusted: Collection[str], resolve: Resolve = resolve, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._trusted = trusted
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """One connection. Raises httpcore's ConnectError, also for a host that is refused."""
        try:
            addresses = [ip_address(text) for text in await self._resolve(host)]
        except (OSError, ValueError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        if host not in self._trusted and not (addresses and all(map(is_public, addresses))):
            raise httpcore.ConnectError(f"{host} has no public address")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """As httpcore wants it."""
        await asyncio.sleep(seconds)


def guarded_client(backend: Guarded) -> httpx.AsyncClient:
    """A client over it, which follows no redirect and asks no proxy."""
    transport = httpx.AsyncHTTPTransport(trust_env=False)
    # httpx hands no backend through to the pool that it makes.
    transport._pool._network_backend = backend
    return httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)
