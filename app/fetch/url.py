"""Parses URLs strictly: a URL that two parsers could understand differently is refused.

This is the only parser. What it returns is what is resolved, checked and connected to; the text of the URL is not
parsed again. Sources: RFC 3986; the WHATWG URL Standard for what counts as a number in a host. Knows nothing about
which URLs are allowed.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NoReturn
from urllib.parse import quote, urljoin

import idna

from app.core.errors import InvalidRequest
from app.fetch.public_addresses import Address

MAX_URL_CHARACTERS = 8192
DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_URL = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 3986's reserved and unreserved characters, and the percent sign of characters that are encoded already.
_UNQUOTED = "!$%&'()*+,/:;=?@[]-._~"


@dataclass(frozen=True)
class ParsedUrl:
    """The parts of a URL.

    Attributes:
        host: a name in ASCII and lower case, or an address in its usual form; an IPv6 address has no brackets.
        target: path and query as they go over the wire.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def address(self) -> Address | None:
        """The host as an address, if it is one."""
        return parse_address(self.host)

    @property
    def authority(self) -> str:
        """Host and, unless the scheme implies it, port, as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without its fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_url(url: str, trusted_hosts: Collection[str] = ()) -> ParsedUrl:
    """Return the parts of a URL.

    Args:
        trusted_hosts: hosts that are accepted as they are, whatever they look like.

    Raises:
        InvalidRequest: (400, code "invalid_audio_url") if the URL is not valid, or not unambiguous.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise _invalid_url_error(f"has more than {MAX_URL_CHARACTERS} characters")
    if _FORBIDDEN_CHARACTERS.search(url):
        raise _invalid_url_error(
            "contains a space, a backslash or a control character; such characters must be percent-encoded"
        )
    parts = _URL.fullmatch(url)
    if parts is None or parts["scheme"].lower() not in DEFAULT_PORTS:
        raise _invalid_url_error("does not begin with https:// or http://")
    if "@" in parts["authority"]:
        raise _invalid_url_error("contains a user name or a password, which this service does not send")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise _invalid_url_error("has a host or a port that cannot be read")
    scheme = parts["scheme"].lower()
    port = int(authority["port"]) if authority["port"] else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise _invalid_url_error("has a port that is not between 1 and 65535")
    target = quote(parts["target"], safe=_UNQUOTED)
    host = authority["host"] if authority["host"] in trusted_hosts else canonical_host(authority["host"])
    return ParsedUrl(scheme, host, port, target if target[:1] == "/" else f"/{target}")


def canonical_host(host: str) -> str:
    """Return a host in its one canonical form: lower case, ASCII, an IPv6 address without brackets.

    A name has two labels at least, and its last label is not a number: `127.1`, `0177.0.0.1`, `0x7f.1` and `2130706433`
    are addresses to some parsers and names to others, and are refused.

    Raises:
        InvalidRequest: (400) if the host is neither a name nor an address.
    """
    if host.startswith("["):
        try:
            address = IPv6Address(host[1:-1])
        except AddressValueError:
            _raise_invalid_host()
        return str(address) if address.scope_id is None else _raise_invalid_host()
    try:
        name = host.lower() if host.isascii() else idna.encode(host.lower()).decode()
    except idna.IDNAError:
        _raise_invalid_host()
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            raise _invalid_url_error(
                "has an IPv4 address in an unusual form; write it as four decimal numbers"
            ) from None
    if len(name) > 253 or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        _raise_invalid_host()
    return name


def parse_address(host: str) -> Address | None:
    """Return a canonical host as an address; None if it is a name."""
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(host)
        except AddressValueError:
            continue
    return None


def resolve_reference(location: ParsedUrl, reference: str) -> ParsedUrl:
    """Return where a redirect from `location` to `reference` leads. Raises InvalidRequest (400) as `parse_url` does.

    A reference that begins with a scheme is a whole URL. `https:path` and `https:///path`, which some parsers join, are
    refused.
    """
    if _FORBIDDEN_CHARACTERS.search(reference):
        # Checked before joining, because `urljoin` silently drops some of these characters.
        raise _invalid_url_error("contains a space, a backslash or a control character")
    try:
        return parse_url(reference if _SCHEME.match(reference) else urljoin(location.url, reference))
    except ValueError:
        _raise_invalid_host()


def _invalid_url_error(fault: str) -> InvalidRequest:
    return InvalidRequest(f"The URL {fault}.", code="invalid_audio_url", param="url")


def _raise_invalid_host() -> NoReturn:
    raise _invalid_url_error("has a host that is neither a full name nor an address")
