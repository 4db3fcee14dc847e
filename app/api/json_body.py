"""A body of JSON as it is taken in: bounded in size, values and nesting before it is parsed, and without the recording
that it may hold in base64.

The recording is one long string among short ones. It stays in the body's file: what is parsed has a word in its place.
Every check takes time and memory in proportion to the body. Knows nothing about what the JSON means.
"""

import json
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from app.core.errors import InvalidRequest, TooLarge
from app.settings import LimitSettings, setting_name

BLOCK_BYTES = 262_144  # read at once
LONG_STRING_BYTES = 65_536  # a string of more is not parsed
MAX_LONG_STRINGS = 64  # such strings
MAX_DEPTH = 64  # of objects and lists in each other
_NUMBER = re.compile(rb"[-+.0-9eE]{65,}")
_BRACKETS = re.compile(rb"[][{}]")


@dataclass(frozen=True)
class LongString:
    """A string between its quotes, as JSON writes it: in `file` from `start` up to `end`."""

    file: BinaryIO
    start: int
    end: int

    def chunks(self) -> Iterator[bytes]:
        """What lies between the quotes, a block at a time."""
        position = self.start
        while position < self.end:
            self.file.seek(position)
            piece = self.file.read(min(BLOCK_BYTES, self.end - position))
            if not piece:
                return
            position += len(piece)
            yield piece


@dataclass
class JsonBody:
    """text: the JSON, in which each long string is a word. long: these strings by their words."""

    text: bytes
    long_strings: dict[str, LongString] = field(default_factory=dict)

    def long_string(self, value: Any) -> LongString | None:
        """The long string that a parsed string stands for."""
        return self.long_strings.get(value) if isinstance(value, str) else None

    def path_of(self, placeholders: Collection[str]) -> str:
        """Where one of the words stands in the JSON, as field names and positions; `the body` if as a field's name."""

        def search(node: Any, path: str) -> str | None:
            if isinstance(node, str):
                return path if node in placeholders else None
            inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
            found = (search(child, f"{path}.{name}" if path else str(name)) for name, child in inside)
            return next(filter(None, found), None)

        return search(json.loads(self.text), "") or "the body"


def load_json_body(file: BinaryIO, limits: LimitSettings) -> JsonBody:
    """The body in `file`. Raises InvalidRequest (400) for too many values, too deep nesting and numbers too long, and
    TooLarge (413) for too much text beside long strings.
    """
    scan = _BodyScanner(file, limits)
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        scan.add(block)
    _check_nesting(bytes(scan.without_strings))
    return JsonBody(bytes(scan.text), scan.long_strings)


class _BodyScanner:
    """What has been read of a body. text: see `JsonBody`. bare: the same without its strings."""

    def __init__(self, file: BinaryIO, limits: LimitSettings) -> None:
        self.file, self.limits = file, limits
        self.text, self.without_strings = bytearray(), bytearray()
        self.long_strings: dict[str, LongString] = {}
        self._placeholder = secrets.token_hex(16)  # nobody can send it
        self._value_count = self._string_count = 0
        self._offset = 0  # of the block in the file
        self._string_start: int | None = None  # where the present string begins in the file, behind its quote
        self._string_text_start = 0  # where it begins in the text
        self._escaped = False  # the block before ended with a backslash of it

    def add(self, block: bytes) -> None:
        position = 0
        while position < len(block):
            if self._string_start is None:
                position = self._scan_outside_string(block, position)
            else:
                position = self._scan_inside_string(block, position, self._string_start)
            if len(self.text) > self.limits.json_text_bytes:
                raise _text_too_large_error(self.limits)
        self._offset += len(block)

    def _scan_outside_string(self, block: bytes, position: int) -> int:
        quote = block.find(b'"', position)
        stop = len(block) if quote < 0 else quote + 1
        between = block[position:stop]
        self.text += between
        self.without_strings += between
        self._value_count += sum(map(between.count, (b",", b"{", b"[")))
        if quote >= 0:
            self._string_count += 1
            self._string_start, self._string_text_start = self._offset + stop, len(self.text)
        if (
            max(self._value_count, self._string_count // 2) > self.limits.json_values
        ):  # a field of an object has two strings
            raise InvalidRequest(
                f"The JSON has more than {self.limits.json_values} values, which is the most. The setting is "
                f"{setting_name('limits', 'json_values')}.",
                code="json_too_complex",
            )
        return stop

    def _scan_inside_string(self, block: bytes, position: int, string_start: int) -> int:
        end, self._escaped = _end_of_string(
            block, position, self._escaped, self._offset - string_start > LONG_STRING_BYTES
        )
        stop = len(block) if end < 0 else end
        is_long = self._offset + stop - string_start > LONG_STRING_BYTES
        if is_long:
            del self.text[self._string_text_start :]
        else:
            self.text += block[position:stop]
        if end < 0:
            return stop
        if is_long:
            if len(self.long_strings) == MAX_LONG_STRINGS:
                raise _text_too_large_error(self.limits)
            name = f"{self._placeholder}-{len(self.long_strings)}"
            self.long_strings[name] = LongString(self.file, string_start, self._offset + end)
            self.text += name.encode()
        self.text += b'"'
        self._string_start = None
        return end + 1


def _end_of_string(block: bytes, position: int, escaped: bool, is_long: bool) -> tuple[int, bool]:
    """Where the string ends, -1 if not in this block; and whether the block ends with a backslash of the string. Raises
    InvalidRequest (400) for quotation marks in a long string: each takes a step, and no recording has one.
    """
    if escaped:
        position += 1
    while True:
        quote = block.find(b'"', position)
        stop = len(block) if quote < 0 else quote
        backslashes = stop - position - len(block[position:stop].rstrip(b"\\"))
        if quote < 0:
            return -1, bool(backslashes % 2)
        if backslashes % 2 == 0:
            return quote, False
        if is_long:
            raise InvalidRequest(
                f"A string has more than {LONG_STRING_BYTES} bytes, which only a recording may have.",
                code="invalid_field",
            )
        position = quote + 1


def _check_nesting(bare: bytes) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(bare):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidRequest(
                f"The JSON is nested more than {MAX_DEPTH} levels deep, which is the most.", code="json_too_complex"
            )
    if _NUMBER.search(bare):
        raise InvalidRequest("A number in the JSON has more than 64 characters.", code="json_too_complex")


def _text_too_large_error(limits: LimitSettings) -> TooLarge:
    return TooLarge(
        f"The JSON has more than {limits.json_text_bytes} bytes beside the recording. The setting is "
        f"{setting_name('limits', 'json_text_bytes')}.",
        code="json_too_large",
    )
