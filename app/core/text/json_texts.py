"""Finds the texts and numbers in a JSON text, each with its place, in time linear in its length.

Names of properties are left out. A text that breaks off is read as far as it goes. Knows nothing about schemas.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A string (whole, or up to the end of the text) and whether it is a name, or a number.
_TOKEN = re.compile(
    r'"(?P<string>[^"\\]*(?:\\.[^"\\]*)*)(?:"(?P<name>\s*:)?|\\?\Z)|(?P<number>-?\d[\d.eE+-]*)', re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class JsonText:
    """A string or a number of a JSON text.

    Attributes:
        text: The string without its quotation marks and escapes, or the number as it is written.
        name: The name of the property that holds it, or that holds the list in which it is; empty if there is none.
        is_number: Whether it is a number.
        offsets: The place of each character of `text` in the JSON text, and the place after the last one.
    """

    text: str
    name: str
    is_number: bool
    offsets: range | list[int]


def json_texts(text: str) -> Iterator[JsonText]:
    """Yield the strings and numbers of a JSON text in order, without the names of properties."""
    name = ""
    for token in _TOKEN.finditer(text):
        if token["number"] is not None:
            yield JsonText(token["number"], name, True, range(token.start("number"), token.end("number") + 1))
        elif token["name"] is not None:
            name = token["string"]
        else:
            value, offsets = _unescape(token["string"], token.start("string"))
            yield JsonText(value, name, False, offsets)


def _unescape(string: str, start: int) -> tuple[str, range | list[int]]:
    if "\\" not in string:
        return string, range(start, start + len(string) + 1)
    characters: list[str] = []
    offsets: list[int] = []
    position = 0
    for escape in _ESCAPE.finditer(string):
        characters += string[position : escape.start()]
        offsets += range(start + position, start + escape.start())
        code, plain = escape.groups()
        characters.append(chr(int(code, 16)) if code else _PLAIN_ESCAPES.get(plain, plain))
        offsets.append(start + escape.start())
        position = escape.end()
    characters += string[position:]
    offsets += range(start + position, start + len(string) + 1)
    return "".join(characters), offsets
