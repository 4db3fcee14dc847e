"""The forms that some settings are written in: lists, pairs, weights, addresses. Knows nothing about which settings."""

from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

DEFAULT_WEIGHT = 100.0  # of a model among the versions of its name
T = TypeVar("T")


def _split_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[list[T], NoDecode, BeforeValidator(_split_commas)]  # in the environment separated by commas


def parse_pair(entry: str) -> tuple[str, str]:
    """`name=value` as its two parts; a value left out is empty. Raises ValueError without a name."""
    name, _, value = (part.strip() for part in entry.partition("="))
    if not name:
        raise ValueError(f"{entry!r} names nothing before its =")
    return name, value


def parse_weighted_model(entry: str) -> tuple[str, float]:
    """An entry of `models`: the model and its weight. Raises ValueError for a weight that is none."""
    name, weight = parse_pair(entry)
    number = float(weight or DEFAULT_WEIGHT)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{weight!r} is no weight: 0 or more")
    return name, number


def normalize_urls(urls: list[str]) -> list[str]:
    """Servers' addresses, without `/v1`. Raises ValueError for what is none, and for one that stands there twice."""
    bases = [url.rstrip("/").removesuffix("/v1") for url in urls]
    for base in bases:
        parts = urlsplit(base)
        _ = parts.port  # raises ValueError if it is none
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{base!r} is no address such as http://gpu-1:8001")
        if parts.username or parts.password:
            raise ValueError("an address holds no user or password; the servers' key is REMOTE__API_KEY")
    if len(set(bases)) < len(bases):
        raise ValueError("an address stands in it twice")
    return bases
