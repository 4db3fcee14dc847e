"""Who counts as one client, and whose connection is closed to make room."""

import pytest

from app.core.errors import TooManyRequests, Unavailable
from app.server.open_connections import MAX_REFUSED_CONNECTIONS, OpenConnections, client_network
from app.settings import ServerSettings


class Line:
    """A connection that is idle or not."""

    def __init__(self, idle: bool = True) -> None:
        self.idle = idle
        self.open = True

    def abort(self) -> None:
        self.open = False


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "somewhere"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_one_client(address: str, network: str) -> None:
    assert client_network(address) == network


def test_the_oldest_idle_connection_makes_room() -> None:
    lines = OpenConnections(ServerSettings(connections=3, connections_per_address=2))
    busy, first, second = Line(idle=False), Line(), Line()
    for line, address in ((busy, "a"), (first, "a"), (second, "b")):
        assert lines.add(line, address) is None
    assert lines.add(Line(), "a") is None  # its own address gives way
    assert (busy.open, first.open, second.open) == (True, False, True)
    assert lines.add(Line(), "c") is None
    assert not second.open
    assert len(lines) == 3


def test_connections_in_use_stay() -> None:
    lines = OpenConnections(ServerSettings(connections=2, connections_per_address=1))
    first, second = Line(idle=False), Line(idle=False)
    assert lines.add(first, "2001:db8::1") is None
    assert isinstance(lines.add(Line(), "2001:db8::2"), TooManyRequests)
    assert lines.add(second, "b") is None
    assert isinstance(lines.add(Line(), "c"), Unavailable)
    lines.remove(first)
    lines.remove(first)
    assert lines.add(Line(), "c") is None


def test_not_every_refused_connection_is_told_why() -> None:
    lines = OpenConnections(ServerSettings(connections=1))
    lines.add(Line(idle=False), "a")
    refused = [Line() for _ in range(MAX_REFUSED_CONNECTIONS + 1)]
    for line in refused:
        assert not lines.has_too_many_refused
        lines.add(line, "b")
    assert lines.has_too_many_refused
    lines.remove(refused[0])
    assert not lines.has_too_many_refused
