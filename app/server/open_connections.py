"""The open connections of a server: how many there may be, in all and from one address.

For one event loop; takes no locks. Knows nothing about HTTP.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Protocol

from app.core.errors import ServiceError, TooManyRequests, Unavailable
from app.settings import ServerSettings, setting_name

RETRY_SECONDS = 5.0
MAX_REFUSED_CONNECTIONS = 64


class Connection(Protocol):
    """What is counted."""

    @property
    def idle(self) -> bool:
        """Whether no request is being answered on it."""

    def abort(self) -> None:
        """Close it at once."""


class OpenConnections:
    """All connections by address, the one that is open for longest first."""

    def __init__(self, server_settings: ServerSettings) -> None:
        self.server_settings = server_settings
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._address_of: dict[Connection, str] = {}
        self._refused: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._address_of)

    @property
    def has_too_many_refused(self) -> bool:
        """Whether so many refused connections are still open that no more of them are told why."""
        return len(self._refused) > MAX_REFUSED_CONNECTIONS

    def add(self, connection: Connection, address: str) -> ServiceError | None:
        """Count a connection, and return why it cannot stay, if it cannot. An idle connection makes room for it: one of
        the same address where that has too many, else the oldest.
        """
        bounds, proxy = self.server_settings, is_trusted(address, self.server_settings.trusted_proxies)
        address = client_network(address)
        own = self._by_address.get(address, {})
        if len(own) >= bounds.connections_per_address and not proxy:
            if not self._abort_idle(own):
                return self._refuse(
                    connection,
                    TooManyRequests(
                        f"Your address has {len(own)} connections open and in use, which is the most one may have. The "
                        f"setting is {setting_name('server', 'connections_per_address')}; name a reverse proxy in "
                        f"{setting_name('server', 'trusted_proxies')}.",
                        code="too_many_connections",
                        retry_after_s=RETRY_SECONDS,
                    ),
                )
        elif len(self) >= bounds.connections and not self._abort_idle(self._address_of):
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
        """Count a connection no longer. Harmless twice, and for one that was refused."""
        self._refused.discard(connection)
        address = self._address_of.pop(connection, None)
        if address is None:
            return
        own = self._by_address[address]
        del own[connection]
        if not own:
            del self._by_address[address]

    def _abort_idle(self, among: Iterable[Connection]) -> bool:
        idle = next((one for one in among if one.idle), None)
        if idle is None:
            return False
        self.remove(idle)
        idle.abort()
        return True

    def _refuse(self, connection: Connection, error: ServiceError) -> ServiceError:
        self._refused.add(connection)
        return error


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network of an IPv6 address, all of which one customer of a
    provider gets (RFC 6177).
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
    """Whether an address lies in one of the networks."""
    try:
        host = ip_address(address)
    except ValueError:
        return False
    return any(host in ip_network(network, strict=False) for network in networks)
