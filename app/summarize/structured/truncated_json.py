"""Repairs a JSON text that was cut: closes it where it ends, or where its last whole value ends.

Knows nothing about schemas beyond the names and types that `fill_missing` needs, nor why a text was cut.
"""

import re
from collections.abc import Iterator
from typing import Any

# A string (whole, or up to the end of the text), one punctuation mark, or a run of other characters, which is a number
# or a literal.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?P<close>"|\\?\Z)|(?P<mark>[\[\]{}:,])|[^\s"\[\]{}:,]+', re.DOTALL)
_WHOLE_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
# The whole characters of a string. Half of a surrogate pair is not a character.
_CHARACTERS = re.compile(
    r'"(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*',
    re.DOTALL,
)


def close_json(text: str) -> Iterator[str]:
    """Yield at most two completions of a text, in time linear in its length.

    The first closes the string in which the text was cut. The second removes what had begun after the last whole
    value. Nothing is yielded for a text that has nothing to close.
    """
    open_: list[str] = []  # the closing marks of the open containers
    whole, due = 0, ""  # the end of the last whole value or opening mark, and the closing marks that are due there
    names: list[bool] = []  # for each open container, whether a name comes next
    cut: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        mark = token["mark"]
        if mark in ("{", "["):
            open_.append("}" if mark == "{" else "]")
            names.append(mark == "{")
        elif mark in ("}", "]"):
            if not open_ or open_.pop() != mark:
                return
            names.pop()
        elif mark == ":":
            if names:
                names[-1] = False
            continue
        elif mark == ",":
            if names:
                names[-1] = open_[-1] == "}"
            continue
        elif token["close"] == '"':
            if names and names[-1]:
                continue  # a name is not a value
        elif token["close"] is not None:
            cut = token
            break
        elif token.end() == len(text) or not _WHOLE_SCALAR.fullmatch(token[0]):
            break  # the number may have been cut
        whole, due = token.end(), "".join(reversed(open_))
    if not open_:
        return
    if cut is not None and not names[-1]:
        kept = _CHARACTERS.match(text, cut.start())
        assert kept is not None, "a string that was cut begins with its quotation mark"
        yield text[: kept.end()] + '"' + "".join(reversed(open_))
    if due:
        yield text[:whole] + due


def fill_missing(value: Any, schema: dict[str, Any]) -> list[str]:
    """Add the required properties that an object, or an object inside it, lacks, as empty texts and lists.

    Returns the names of those that the object itself lacked.
    """
    missing: list[str] = []
    if not isinstance(value, dict):
        return missing
    properties: dict[str, Any] = schema.get("properties", {})
    for name in schema.get("required", []):
        kind = properties.get(name, {}).get("type")
        if name not in value and kind in ("string", "array"):
            value[name] = "" if kind == "string" else []
            missing.append(name)
    for name, one in value.items():
        inside = properties.get(name, {})
        if isinstance(one, dict):
            fill_missing(one, inside)
        for item in one if isinstance(one, list) else ():
            fill_missing(item, inside.get("items", {}))
    return missing
