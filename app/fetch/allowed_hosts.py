"""The list of hosts that recordings may be fetched from.

Knows nothing about whether an address is public.
"""

from collections.abc import Iterable

from app.core.errors import InvalidRequest
from app.fetch.url import canonical_host, parse_address


class AllowedHosts:
    """Hosts that match one of the patterns: `host in allowed_hosts`, for a canonical host.

    Args:
        patterns: `audio.example.org` is this host alone; `*.example.org` is every name under `example.org`, but not
            itself;
            `*` is any host. No pattern allows no host.

    Raises:
        ValueError: if a pattern is none of these.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._suffixes: list[str] = []
        self._any = False
        for pattern in patterns:
            if pattern == "*":
                self._any = True
            elif pattern.startswith("*."):
                self._suffixes.append("." + _canonical_pattern(pattern, pattern[2:], name=True))
            else:
                self._exact.add(_canonical_pattern(pattern, pattern))

    def __contains__(self, host: str) -> bool:
        return self._any or host in self._exact or any(host.endswith(name) for name in self._suffixes)

    def __bool__(self) -> bool:
        return self._any or bool(self._exact or self._suffixes)


def _canonical_pattern(pattern: str, host: str, name: bool = False) -> str:
    try:
        canonical = canonical_host(host)
    except InvalidRequest:
        canonical = ""
    if not canonical or (name and parse_address(canonical)):
        raise ValueError(f"{pattern!r} is not a host such as audio.example.org, *.example.org or *")
    return canonical
