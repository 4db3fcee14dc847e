# ruff: noqa: RUF001  (typographic marks are meant)
"""Finds the numbers, dates and times in an English text, each with its place.

Each is small enough to be reported by itself: "$4,200", "forty-two hundred dollars", "March 3rd", "half past three",
"R177". What numbers a list, as in "1." or "(2)", is none. Knows nothing about what was heard.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.core.text.normalize import MONTHS, ORDINALS, SCALES, TENS, UNITS, WEEKDAYS

FigureKind = Literal["number", "date", "time"]


@dataclass(frozen=True)
class Figure:
    """A figure, `text[start:end]`, of a text."""

    start: int
    end: int
    kind: FigureKind
    text: str


_MONTH = rf"(?:{'|'.join(MONTHS)}|(?:jan|feb|apr|aug|sept?|oct|nov|dec)\b\.?)"
_WEEKDAY = rf"(?:(?:{'|'.join(WEEKDAYS)})s?\b|(?-i:Mon|Tue|Tues|Wed|Thu|Thurs|Fri)\b)"
_ORDINAL = rf"(?:(?:twenty|thirty)[-\s](?:{'|'.join(ORDINALS)})|{'|'.join(sorted(ORDINALS, key=len, reverse=True))})"
_DAY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?(?![\w,:]|\.\d)|{_ORDINAL}\b)"
_YEAR = r"(?:,?\s+\d{4}\b)?"
_NUMBER_WORD = rf"(?:{'|'.join(sorted([*UNITS, *TENS, *SCALES], key=len, reverse=True))})"
_NUMBER_WORDS = (
    rf"(?:a\s+(?=(?:{'|'.join(SCALES)})\b))?{_NUMBER_WORD}\b(?:(?:\s+|-|\s+and\s+|\s+point\s+){_NUMBER_WORD}\b)*"
)
_DIGITS = r"\d(?:[\d,]*\d)?(?:\.\d+)?"
_SCALED = r"(?:\s?(?:hundred|thousand|million|billion|k|mn|bn|m)\b)?"
_UNIT = r"(?:\s?%|\s(?:percent|per\s+cent|dollars?|pounds?|euros?|bucks|quid)\b)?"
_MERIDIEM = r"(?:a\.\s?m\.|p\.\s?m\.|[ap]m\b)"
_HOUR = rf"(?:{'|'.join(word for word, value in UNITS.items() if 0 < value <= 12)}|\d{{1,2}})"
_FIGURE = re.compile(
    rf"""(?<![\w])(?:
    (?P<time>\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?!\d)(?:\s?{_MERIDIEM})? | \d{{1,2}}(?:\.\d{{2}})?\s?{_MERIDIEM}
        | (?:half|quarter)\s+(?:past|to|of|after)\s+{_HOUR}\b | {_HOUR}\s+o['’\s]?clock\b | noon\b)
    | (?P<date>\d{{4}}-\d{{1,2}}-\d{{1,2}}(?!\d) | \d{{1,2}}(?P<mark>[./])\d{{1,2}}(?P=mark)(?:\d{{4}}|\d{{2}})(?!\d)
        | (?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH}\b{_YEAR} | {_MONTH}\s+(?:the\s+)?{_DAY}{_YEAR}
        | {_MONTH},?\s+\d{{4}}\b | {_MONTH}(?![\w]) | {_WEEKDAY})
    | (?P<number>(?-i:[A-Z]{{1,3}})\d{{2,}}\b
        | \+?\d{{2,}}(?:[\s().-]{{1,2}}\d{{2,}}){{2,}} | [$£€]\s?{_DIGITS}{_SCALED} | {_DIGITS}(?:st|nd|rd|th)\b
        | {_DIGITS}{_SCALED}{_UNIT} | {_NUMBER_WORDS}{_UNIT})
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# The number at the head of a line or a heading, and one in brackets.
_LIST_NUMBER = re.compile(
    r"^[ \t>#*_(\[-]*\d{1,3}(?:\.\d{1,2})*[.):\]]+(?=[\s*_]|$)|\(\d{1,2}\)|(?<!\w)\d{1,2}\)", re.MULTILINE
)
# Months that are words too say nothing by themselves.
_AMBIGUOUS = ("may", "march")


def find_figures(text: str) -> Iterator[Figure]:
    """Yield the figures of a text in order."""
    skipped = [found.span() for found in _LIST_NUMBER.finditer(text)]
    skipped.reverse()
    for found in _FIGURE.finditer(text):
        start, end = found.span()
        while skipped and skipped[-1][1] <= start:
            skipped.pop()
        if (skipped and skipped[-1][0] <= start) or found[0].lower() in _AMBIGUOUS:
            continue
        kind: FigureKind = "time" if found["time"] else "date" if found["date"] else "number"
        yield Figure(start, end, kind, found[0])
