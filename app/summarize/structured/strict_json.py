"""A strict JSON parser for untrusted text: a value that it accepts can always be encoded as JSON again (RFC 8259).

Python's `json` also accepts NaN, Infinity, numbers that overflow, repeated names and lone surrogates, and it raises
RecursionError for a deeply nested text. Here, each of these is a `JsonError`. Knows nothing about schemas.
"""

import json
import math
import re
from typing import Any

# Strings are skipped, so that brackets inside them do not count; an unclosed one runs to the end of the text.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class JsonError(ValueError):
    """The text is not accepted. The message is the end of a sentence that begins "the text"."""


class MalformedJson(JsonError):
    """The text is not well-formed: it breaks off, or it is not JSON at all."""


def loads(text: str, max_depth: int) -> Any:
    """Return the value of a JSON text.

    Raises:
        MalformedJson: The text is not well-formed.
        JsonError: Its arrays and objects are nested more than `max_depth` levels deep, or it has NaN or Infinity, a
            number that no double can hold, a name twice in one object, or half of a surrogate pair.
    """
    if (depth := nesting_depth(text)) > max_depth:
        raise JsonError(f"is nested {depth} levels deep; at most {max_depth} are accepted")
    try:
        value = json.loads(
            text, object_pairs_hook=_object_without_repeats, parse_constant=_reject_constant, parse_float=_finite_float
        )
    except JsonError:
        raise
    except ValueError as error:  # malformed, or an integer with more digits than Python converts
        raise MalformedJson(f"is not JSON: {error}") from None
    if has_lone_surrogate(value):
        raise JsonError("holds half of a surrogate pair, which is not a character")
    return value


def nesting_depth(text: str) -> int:
    """Return the number of levels of arrays and objects in a text, in linear time and without recursion."""
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def has_lone_surrogate(value: Any) -> bool:
    """Return whether a name or a text in the value cannot be encoded as UTF-8."""
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value) if not value.isascii() else False
    if isinstance(value, dict):
        return any(has_lone_surrogate(name) or has_lone_surrogate(one) for name, one in value.items())
    return isinstance(value, list) and any(map(has_lone_surrogate, value))


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise JsonError(f"gives the name {twice[:60]!r} twice in one object")
    return value


def _reject_constant(name: str) -> float:
    raise JsonError(f"holds {name}, which is not a JSON number")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise JsonError(f"holds the number {digits[:40]}, which is too large")
    return value
