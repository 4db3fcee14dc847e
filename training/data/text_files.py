"""Text files as common programs write them, read line by line, where a bad line does not end the reading; and what
makes a text unfit for training.

Understood encodings are UTF-8, with or without a byte order mark (Excel, Notepad), and UTF-16 and UTF-32 (PowerShell,
SQL tools), which are recognized by their mark or, for UTF-16, by the zero bytes between the letters. Any other encoding
is an error and never guessed: a model would learn the wrong letters. Knows nothing about records.
"""

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

LONGEST_LINE = 64 << 20  # bytes; a file with longer lines is not JSONL but something else
_BYTE_ORDER_MARKS = (  # UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
# The tokens that separate turns in the chat templates of all model families. No text that people say or write has them.
_CONTROL_TOKEN = re.compile(
    r"<\|[^|<>\s][^|<>\n]{0,40}\|>"  # <|im_end|>, <|AUDIO|>, <|start_header_id|>, <|0.00|>
    "|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>"  # DeepSeek's, between fullwidth bars
    r"|</?s>|<(?:bos|eos|pad|unk|mask|sep|cls)>"
    r"|</?(?:start|end)_of_(?:turn|image|audio|text)>|<(?:file_sep|repo_name|image_soft_token|audio_soft_token)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|AUDIO|BEGIN_AUDIO|TRANSCRIBE|IMG)\]"
    r"|<</?SYS>>",
    re.IGNORECASE,
)


class InvalidText(ValueError):
    """A text cannot be read, or is unfit for training. The message says why."""


def detect_encoding(head: bytes) -> str:
    """Return the encoding of a file that begins with these bytes, by Python's name; UTF-8 if nothing indicates
    another.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    pairs = head[: len(head) // 2 * 2][:200]
    if len(pairs) >= 4:
        even, odd = pairs[::2].count(0) / len(pairs[::2]), pairs[1::2].count(0) / len(pairs[1::2])
        if odd > 0.7 and even < 0.3:
            return "utf-16-le"
        if even > 0.7 and odd < 0.3:
            return "utf-16-be"
    return "utf-8"


def read_text(file: Path) -> str:
    """Return all of a file's text, without a byte order mark. Raises InvalidText or OSError."""
    data = file.read_bytes()
    return _decode(data, detect_encoding(data[:400]))


def numbered_lines(file: Path) -> Iterator[tuple[int, str | InvalidText]]:
    """Yield each line that is not blank, or why it cannot be read, with its number from 1. Raises OSError.

    Only a line feed ends a line, because a JSON string may hold the other characters that end a line in Unicode.
    """
    with file.open("rb") as opened:
        encoding = detect_encoding(opened.peek(400)[:400])
        if encoding not in ("utf-8", "utf-8-sig"):
            try:
                yield from ((n, line) for n, line in enumerate(read_text(file).split("\n"), 1) if line.strip())
            except InvalidText as error:
                yield 1, error
            return
        number = 0
        while line := opened.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                while not line.endswith(b"\n") and (line := opened.readline(LONGEST_LINE)):
                    pass
                yield number, InvalidText(f"is longer than {LONGEST_LINE >> 20} MiB, the most that is read as one line")
                continue
            try:
                text = _decode(line, "utf-8-sig" if number == 1 else "utf-8")
            except InvalidText as error:
                yield number, error
                continue
            if text.strip("\x00").strip() or (text.strip() and "\x00" in text):
                yield number, text


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        shown = data[error.start : error.start + 4].hex(" ")
        name = encoding.removesuffix("-sig").upper()
        raise InvalidText(f"is no {name} text: bytes {shown} at byte {error.start + 1}; save it as UTF-8") from error


def parse_json(text: str) -> Any:
    """Return the JSON value. Raises InvalidText, also for NaN and Infinity, which Python accepts and JSON does not
    have, and for an object that has a key twice.
    """

    def constant(name: str) -> Any:
        raise InvalidText(f"holds {name}, which JSON has no number for")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidText(f"has the key {twice!r} more than once")
        return value

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=unique)
    except InvalidText:
        raise
    except RecursionError as error:
        raise InvalidText("is nested too deeply") from error
    except ValueError as error:
        raise InvalidText(f"is no JSON: {error}") from error


def value_problem(value: Any) -> str | None:
    """Return why the value, or a value inside it, cannot be stored as JSON in UTF-8 (half a character, a control
    character, or a number that is not finite), or None if it can.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if problem := text_problem(one):
                return problem
        elif isinstance(one, float):
            if not math.isfinite(one):
                return f"holds {one}, which JSON has no number for"
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one
    return None


def text_problem(text: str) -> str | None:
    """Return which character makes the text invalid (half a character or a control character), or None."""
    if found := _SURROGATE.search(text):
        return f"holds half a character (a lone surrogate, U+{ord(found[0]):04X})"
    if found := _UNPRINTABLE.search(text):
        return f"holds the control character U+{ord(found[0]):04X}"
    return None


def find_control_token(text: str, tokens: Iterable[str] = ()) -> str | None:
    """Return the first control token of a chat template in the text, or None.

    A model that learns such a token as words may end a turn in the middle of an answer. tokens: the control tokens of a
    tokenizer, in addition to those that are recognized by their form.
    """
    if found := _CONTROL_TOKEN.search(text):
        return found[0]
    return next((token for token in tokens if token in text), None)


def escape_unprintable(name: str) -> str:
    """Return the name with half characters escaped, such as those that stand for bytes of a file name that are not
    UTF-8, so that it can be printed and stored.
    """
    return name.encode("utf-8", "backslashreplace").decode()
