"""Decides which addresses are public, so that a URL cannot lead into the network that the service runs in.

Python's own `is_global` follows the IANA registries as they were at its release. The addresses that it passes and
should not are listed here. Sources: the IANA special-purpose address registries (RFC 6890), RFC 6052 and RFC 8215
(NAT64), RFC 5214 (ISATAP). Knows nothing about names or URLs.

A private network that translates IPv6 to IPv4 under a prefix that is not registered cannot be recognized from outside.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_BLOCKED_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # "this network"; on Linux 0.0.0.0 reaches the host itself
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is Alibaba's metadata service
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's platform services: a public number, but a private host
            "169.254.0.0/16",  # link-local; 169.254.169.254 and its neighbours are the clouds' metadata services
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is Oracle's metadata service
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# All addresses that are allocated as unicast. Outside of them are loopback, link-local, unique local (fd00:ec2::254 and
# fd20:ce::254 are metadata services of clouds), site-local, multicast, and obsolete and local forms of IPv4 in IPv6.
_UNICAST_IPV6 = IPv6Network("2000::/3")
_BLOCKED_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, among them Teredo, which contains an IPv4 address of any kind
            "2001:db8::/32",
            "2002::/16",  # 6to4, which contains an IPv4 address too
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # the first half of an interface identifier whose second half is an IPv4 address


def is_public(address: Address) -> bool:
    """Whether anyone on the internet reaches the same host under this address.

    An IPv6 address that contains an IPv4 address must be public in both.
    """
    if isinstance(address, IPv4Address):
        return _is_unrestricted(address, _BLOCKED_IPV4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:  # the form in which a network with IPv6 alone reaches IPv4 hosts
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return False
    return address in _UNICAST_IPV6 and _is_unrestricted(address, _BLOCKED_IPV6)


def _is_unrestricted(address: Address, blocked: tuple[IPv4Network, ...] | tuple[IPv6Network, ...]) -> bool:
    is_special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    return address.is_global and not is_special and not any(address in network for network in blocked)
