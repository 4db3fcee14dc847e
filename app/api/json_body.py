"""JSON bodies: bounded in size, number of values and nesting before they are parsed, and without the recording that
they may hold in base64.

The recording is one long string among short ones. It stays in the file of the body, and the JSON that is parsed has a
placeholder in its place. Every check takes time and memory in proportion to the body. Knows nothing about what the JSON
means.
"""

import json
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from app.core.errors import InvalidRequest, TooLarge
from app.settings import LimitSettings, setting_name

BLOCK_BYTES = 262_144  # that are read at once
LONG_STRING_BYTES = 65_536  # a longer string is replaced by a placeholder
MAX_LONG_STRINGS = 64  # in one body
MAX_DEPTH = 64  # of nested objects and lists
_NUMBER = re.compile(rb"[-+.0-9eE]{65,}")
_BRACKETS = re.compile(rb"[][{}]")


@dataclass(frozen=True)
class LongString:
    """The text between the quotes of a string, with JSON's escapes. It lies in `file` from `start` up to `end`, in
    bytes.
    """

    file: BinaryIO
    start: int
    end: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the text, a block at a time."""
        position = self.start
        while position < self.end:
            self.file.seek(position)
            chunk = self.file.read(min(BLOCK_BYTES, self.end - position))
            if not chunk:
                return
            position += len(chunk)
            yield chunk


@dataclass
class JsonBody:
    """A body. text: the JSON, with a placeholder for each long string. long_strings: these strings by their
    placeholders.
    """

    text: bytes
    long_strings: dict[str, LongString] = field(default_factory=dict)

    def long_string(self, value: Any) -> LongString | None:
        """Return the long string that a parsed value stands for; None if it is no placeholder."""
        return self.long_strings.get(value) if isinstance(value, str) else None

    def path_of(self, placeholders: Collection[str]) -> str:
        """Return where the first of the placeholders is in the JSON, as field names and positions joined with dots. It
        is "the body" if the placeholder is the name of a field.
        """

        def search(node: Any, path: str) -> str | None:
            if isinstance(node, str):
                return path if node in placeholders else None
            inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
            found = (search(child, f"{path}.{name}" if path else str(name)) for name, child in inside)
            return next(filter(None, found), None)

        return search(json.loads(self.text), "") or "the body"


def load_json_body(file: BinaryIO, limits: LimitSettings) -> JsonBody:
    """Return the body in `file`, which must stay open while the long strings are used.

    Raises: InvalidRequest (400) if it has too many values, is nested too deep or has a number that is too long,
        TooLarge (413) if it has too much text beside the long strings.
    """
    scanner = _BodyScanner(file, limits)
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        scanner.add(block)
    _check_nesting_and_numbers(bytes(scanner.without_strings))
    return JsonBody(bytes(scanner.text), scanner.long_strings)


class _BodyScanner:
    """Reads a body in blocks. text, long_strings: see `JsonBody`. without_strings: the text without its strings."""

    def __init__(self, file: BinaryIO, limits: LimitSettings) -> None:
        self.file, self.limits = file, limits
        self.text, self.without_strings = bytearray(), bytearray()
        self.long_strings: dict[str, LongString] = {}
        self._placeholder = secrets.token_hex(16)  # a client cannot guess it, and so cannot send a placeholder
        self._value_count = self._string_count = 0
        self._offset = 0  # of the current block in the file
        self._string_start: int | None = None  # of the current string in the file, behind its quote; None outside
        self._string_text_start = 0  # of the current string in the text
        self._escaped = False  # whether the block before ended with a backslash that escapes the next character

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
        # A field of an object has two strings, its name and perhaps its value.
        if max(self._value_count, self._string_count // 2) > self.limits.json_values:
            raise InvalidRequest(
                f"The JSON has more than {self.limits.json_values} values, the most that is accepted. The setting is "
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
    """Return where the string ends, -1 if not in this block; and whether the block ends with a backslash that escapes
    the next character.

    Raises: InvalidRequest (400) if a long string has an escaped quotation mark. A recording has none, and every one
        takes a step here.
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
                f"A string has more than {LONG_STRING_BYTES} bytes; only a recording may be so long.",
                code="invalid_field",
            )
        position = quote + 1


def _check_nesting_and_numbers(without_strings: bytes) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(without_strings):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidRequest(
                f"The JSON is nested more than {MAX_DEPTH} levels deep, the most that is accepted.",
                code="json_too_complex",
            )
    if _NUMBER.search(without_strings):
        raise InvalidRequest("A number in the JSON has more than 64 characters.", code="json_too_complex")


def _text_too_large_error(limits: LimitSettings) -> TooLarge:
    return TooLarge(
        f"The JSON has more than {limits.json_text_bytes} bytes beside the recording. The setting is "
        f"{setting_name('limits', 'json_text_bytes')}.",
        code="json_too_large",
    )
