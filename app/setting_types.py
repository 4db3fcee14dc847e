"""The forms in which some settings are written: lists, pairs, weights, addresses. Does not know which settings."""

from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

DEFAULT_WEIGHT = 100.0  # weight of a model among the versions of its name
T = TypeVar("T")


def _split_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# A list, which the environment gives as one text with commas.
CommaSeparated = Annotated[list[T], NoDecode, BeforeValidator(_split_commas)]


def parse_pair(entry: str) -> tuple[str, str]:
    """Return the two parts of `name=value`. A missing value is empty. Raises ValueError if there is no name."""
    name, _, value = (part.strip() for part in entry.partition("="))
    if not name:
        raise ValueError(f"{entry!r} has no name before the =")
    return name, value


def parse_weighted_model(entry: str) -> tuple[str, float]:
    """Return the model and its weight from an entry of `models`. Raises ValueError if the weight is not 0 or more."""
    name, weight = parse_pair(entry)
    number = float(weight or DEFAULT_WEIGHT)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{weight!r} is not a weight; a weight is a number of 0 or more")
    return name, number


def normalize_urls(urls: list[str]) -> list[str]:
    """Return the addresses of servers without a trailing `/` or `/v1`.

    Raises:
        ValueError: if one is not an http or https address, contains a user or a password, or is listed twice.
    """
    bases = [url.rstrip("/").removesuffix("/v1") for url in urls]
    for base in bases:
        parts = urlsplit(base)
        _ = parts.port  # raises ValueError if the port is not a number
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{base!r} is not an address such as http://gpu-1:8001")
        if parts.username or parts.password:
            raise ValueError("an address must not contain a user or a password; set REMOTE__API_KEY instead")
    if len(set(bases)) < len(bases):
        raise ValueError("the list contains an address twice")
    return bases
