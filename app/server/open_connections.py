"""Counts and limits the open connections of a server, in all and from one address.

For one event loop; it takes no locks. Knows nothing about HTTP.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Protocol

from app.core.errors import ServiceError, TooManyRequests, Unavailable
from app.settings import ServerSettings, setting_name

RETRY_SECONDS = 5.0
MAX_REFUSED_CONNECTIONS = 64


class Connection(Protocol):
    """A connection that is counted."""

    @property
    def idle(self) -> bool:
        """Whether no request is being answered on the connection."""

    def abort(self) -> None:
        """Close the connection at once."""


class OpenConnections:
    """The open connections by address. The one that has been open longest comes first."""

    def __init__(self, server_settings: ServerSettings) -> None:
        self.server_settings = server_settings
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._address_of: dict[Connection, str] = {}
        self._refused: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._address_of)

    @property
    def has_too_many_refused(self) -> bool:
        """Whether so many refused connections are still open that further ones are closed without an explanation."""
        return len(self._refused) > MAX_REFUSED_CONNECTIONS

    def add(self, connection: Connection, address: str) -> ServiceError | None:
        """Count a connection; return the error if it cannot stay, else None.

        If there are too many, an idle connection makes room: one of the same address if that address has too many, else
        the oldest one.
        """
        limits, is_proxy = self.server_settings, is_trusted(address, self.server_settings.trusted_proxies)
        address = client_network(address)
        same_address = self._by_address.get(address, {})
        if len(same_address) >= limits.connections_per_address and not is_proxy:
            if not self._abort_idle(same_address):
                return self._refuse(
                    connection,
                    TooManyRequests(
                        f"Your address has {len(same_address)} connections open and in use, and one address may have "
                        f"no more. The setting is {setting_name('server', 'connections_per_address')}; a reverse proxy "
                        f"belongs into {setting_name('server', 'trusted_proxies')}.",
                        code="too_many_connections",
                        retry_after_s=RETRY_SECONDS,
                    ),
                )
        elif len(self) >= limits.connections and not self._abort_idle(self._address_of):
            return self._refuse(
                connection,
                Unavailable(
                    f"{len(self)} connections are open and in use. Try again later. The setting is "
                    f"{setting_name('server', 'connections')}.",
                    code="too_many_connections",
                    retry_after_s=RETRY_SECONDS,
                ),
            )
        self._address_of[connection] = address
        self._by_address.setdefault(address, {})[connection] = None
        return None

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection. Safe to call twice, and for a connection that was refused."""
        self._refused.discard(connection)
        address = self._address_of.pop(connection, None)
        if address is None:
            return
        same_address = self._by_address[address]
        del same_address[connection]
        if not same_address:
            del self._by_address[address]

    def _abort_idle(self, connections: Iterable[Connection]) -> bool:
        idle = next((connection for connection in connections if connection.idle), None)
        if idle is None:
            return False
        self.remove(idle)
        idle.abort()
        return True

    def _refuse(self, connection: Connection, error: ServiceError) -> ServiceError:
        self._refused.add(connection)
        return error


def client_network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    A provider gives a whole /64 network to one customer (RFC 6177).
    """
    try:
        host = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if host.version == 4:
        return str(host)
    mapped = host.ipv4_mapped
    return str(mapped) if mapped else str(ip_network((host, 64), strict=False))


def is_trusted(address: str, networks: Iterable[str]) -> bool:
    """Whether the address is in one of the networks."""
    try:
        host = ip_address(address)
    except ValueError:
        return False
    return any(host in ip_network(network, strict=False) for network in networks)
