# ruff: noqa: RUF001  (typographic marks are meant)
"""Finds what may be a name in an English text: words with a capital letter that do not owe it to their place.

The first word of a sentence is marked, because it would have its capital letter anyway. Headings, lines in
title case and the labels of minutes ("Decisions:") hold no names. Knows nothing about what was heard.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.core.text.normalize import MONTHS, WEEKDAYS
from app.core.text.word_lists import ABBREVIATIONS, FUNCTION_WORDS, GENERIC_WORDS, GIVEN_NAMES

_WORD = re.compile(r"[^\W\d_][\w'’&.-]*|\d[\w.,:%-]*")
_BREAK = re.compile(r"(?<=[.!?:;…])[\"'”’)\]*_]*\s+|\n+|\s[-–—•|]+\s")
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|vs|approx|Sr|Jr|[^\W\d_])|\b[ap]\.m)\.$", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s?$")
_OPENING_MARKS = "\"'“‘(["
_DATE_WORDS = frozenset({*MONTHS, *WEEKDAYS, *(f"{day}s" for day in WEEKDAYS)})
_TITLES = frozenset({"mr", "mrs", "ms", "dr", "prof"})
_ROLE_ENDINGS = ("er", "or", "ian", "ist", "ant", "ent", "ee", "ers", "ors", "ians", "ists", "ants", "ents", "ees")
_MIN_TITLE_WORDS = 3
_TITLE_CASE_SHARE = 0.7  # of the words of a line that are capitalized


@dataclass(frozen=True)
class NameWord:
    """A word of a name, `text[start:end]`, without a possessive ending.

    Attributes:
        is_opening: Whether it stands where any word would have a capital letter.
        follows_name: Whether the word before it belongs to the same name.
        has_point: Whether a point follows, as behind an abbreviation.
    """

    start: int
    end: int
    text: str
    is_opening: bool
    follows_name: bool
    has_point: bool


def find_name_words(text: str, *, is_name: bool = False) -> Iterator[NameWord]:
    """Yield the words that may be names, in order.

    is_name: whether the text is known to name somebody, as the value of "who" is, so that its first word may be a name.
    """
    is_name = is_name and _holds_only_names(text)
    for start, end in _sentences(text):
        words = list(_WORD.finditer(text, start, end))
        if is_name or not _is_heading(text[start:end], [word[0] for word in words]):
            yield from _name_words(text, start, words, is_name)


def is_name_like(word: str) -> bool:
    """Return whether a capitalized word can be a name at all. It is without a possessive ending."""
    bare = word.replace(".", "").lower()
    letters = [letter for letter in bare if letter.isalpha()]
    if len(letters) < 2 or bare in _DATE_WORDS or bare in ABBREVIATIONS:
        return False
    parts = [part for part in re.split(r"['’&-]", bare) if part]
    return not all(part in FUNCTION_WORDS or part in GENERIC_WORDS for part in parts)


def _name_words(text: str, start: int, words: list[re.Match[str]], is_name: bool) -> Iterator[NameWord]:
    follows_name = False
    for position, match in enumerate(words):
        bare = _POSSESSIVE.sub("", match[0].rstrip(".-'’&"))
        before = text[max(start, match.start() - 4) : match.start()].rstrip("*_")
        is_opening = not is_name and (position == 0 or before[-1:] in tuple(_OPENING_MARKS) or before.endswith("m. "))
        belongs = bare[:1].isupper() and is_name_like(bare)
        if belongs:
            end = match.start() + len(bare)
            yield NameWord(match.start(), end, bare, is_opening, follows_name, text[end : end + 1] == ".")
        # A name ends at a comma and at a possessive.
        goes_on = match.end() < len(text) and text[match.end()] == " " and bare == match[0].rstrip(".")
        follows_name = belongs and goes_on


def _holds_only_names(text: str) -> bool:
    """Return whether a text that tells who somebody is has only capitalized words, and is no single role."""
    words = [word for word in re.findall(r"[^\W\d_]+", text) if word.lower() not in FUNCTION_WORDS]
    if len(words) == 1 and words[0].lower().endswith(_ROLE_ENDINGS):
        return words[0].lower() in GIVEN_NAMES
    return all(word[0].isupper() for word in words)


def _is_heading(sentence: str, words: list[str]) -> bool:
    """Return whether a line is in title case, or is a heading or a label that names nobody."""
    letters = [word for word in words if word[0].isalpha()]
    capitals = [word for word in letters if word[0].isupper()]
    if not letters or sentence.lstrip().startswith("#"):
        return True
    if len(letters) > _MIN_TITLE_WORDS and len(capitals) > _TITLE_CASE_SHARE * len(letters):
        return True
    return len(capitals) == len(letters) and not any(
        bare in GIVEN_NAMES or bare in _TITLES for bare in (word.strip(".,:;").lower() for word in letters)
    )


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _BREAK.finditer(text):
        if "\n" not in found[0] and _ABBREVIATION.search(text, max(start, found.start() - 8), found.start()):
            continue
        yield start, found.start()
        start = found.end()
    yield start, len(text)
