# ruff: noqa: RUF001  (typographic marks are meant)
"""The numbers, dates and times that were heard, prepared so that many figures can be looked up among them.

A figure is compared by its value, not by its spelling (`app.core.text.normalize`). Where it is open whether a figure
was heard, it counts as heard. Knows nothing about summaries.
"""

import re
from functools import cached_property
from itertools import pairwise

from app.core.text.heard_words import HeardWords
from app.core.text.normalize import MONTHS, TENS, UNITS, WEEKDAYS, normalize
from app.core.text.number_words import LANGUAGES, MAX_NUMBER, number_in_words

_DIGIT = re.compile(r"\d")
_DIGIT_GROUP = re.compile(r"\d+(?:[.,'\u00a0\u202f ]\d+)*")
_DIGITS_ALONE = re.compile(r"[\d\s().+-]+")
_TIMESTAMP = re.compile(r"\d{1,2}:\d\d:\d\d")
_DATE = re.compile(r"\d{4}-(\d{1,2})-\d{1,2}|(\d{1,2})[./](\d{1,2})[./]\d{2,4}")
_FIGURE_SEEDS = frozenset(
    {*UNITS, *TENS, *MONTHS, "hundred", "thousand", "million", "billion", "dozen", "noon", "half", "quarter"}
)
_DATE_WORDS = frozenset({*WEEKDAYS, *MONTHS})
_STRIPPED = ".,;:!?\"'()[]“”’"
_ISLAND_MARGIN = 2  # words beside a figure that may belong to it
_SEPARATOR = "|xx|"  # a word between two figures that do not belong together
_CURRENCY = frozenset({"dollars", "pounds", "euros", "percent"})
# Values that are often said as a part of a whole: "half an hour", "a quarter".
_PARTS = {"50": "half", "0.5": "half", "30": "half", "90": "half", "25": "quarter", "75": "quarter", "15": "quarter",
          "45": "quarter", "0.25": "quarter", "0.75": "quarter"}  # fmt: skip
_MIN_SURE_NUMBER = 100  # a smaller number may have been written down in the words of any language
_MAX_SEARCHES = 20_000  # for groups of digits among all digits that were heard


class HeardFigures:
    """The figures of a transcript, and of what else may be repeated.

    Args:
        text: The transcript and whatever may be repeated for another reason.
        language: The primary BCP 47 tag of the transcript's language. None if it is not known.
        words: The words of the same text.
    """

    def __init__(self, text: str, language: str | None, words: HeardWords) -> None:
        self._text = text
        self._language = language
        self._words = words
        self._searches = 0

    def has_figure(self, text: str) -> bool:
        """Return whether all values in an English figure, such as "$4,200" or "March 3rd at 3:30", were heard."""
        if date := _DATE.fullmatch(text.strip()):
            return self._has_date(date)
        if _TIMESTAMP.fullmatch(text):
            return text in self._text
        if _DIGITS_ALONE.fullmatch(text) and self.has_digits(text):
            return True  # a telephone number, perhaps in other groups
        tokens = normalize(text)
        for position, token in enumerate(tokens):
            after = tokens[position + 1] if position + 1 < len(tokens) else ""
            if token[0].isdigit():
                if token in ("0", "1", "2") and after not in _CURRENCY:
                    continue  # "one of them" is no figure
                if not (self.has_clock(token) if ":" in token else self._has_value(token)):
                    return False
                is_pair = (token, after) in self._figure_pairs or after in self._figures or self._words.has_word(after)
                if after in _CURRENCY and self._language == "en" and not is_pair:
                    return False
            elif self._language == "en" and not self._has_date_word(token.removesuffix("s")):
                return False
        return True

    def has_foreign_figure(self, text: str) -> bool:
        """Return whether a time, a date or a number in digits, as any language writes it, was heard."""
        text = text.replace("h", ":")
        if _TIMESTAMP.fullmatch(text) or _DATE.fullmatch(text):
            return self.has_figure(text)
        if ":" in text:
            return self.has_clock(text)
        whole, _, last = text.replace(",", ".").rpartition(".")
        readings = {_only_digits(text), f"{_only_digits(whole)}.{_only_digits(last)}" if whole else ""} - {""}
        return any(number in ("0", "1", "2") or self._has_value(number) for number in map(_plain_number, readings))

    def has_digits(self, text: str) -> bool:
        """Return whether a number in digits was heard, where groups of digits may be joined or separated otherwise."""
        digits = _only_digits(text)
        solid, starts = self._digit_runs
        position = solid.find(digits) if len(digits) > 2 else -1
        while position >= 0:
            self._searches += 1
            if (position in starts and position + len(digits) in starts) or self._searches > _MAX_SEARCHES:
                return True
            position = solid.find(digits, position + 1)
        return False

    def has_clock(self, token: str) -> bool:
        """Return whether a time such as "3:30" was heard, by hours of twelve or twenty-four."""
        if token in self._figures or token in self._text:
            return True
        hour, minute, *second = (int(part) for part in token.split(":"))
        if second:
            return False
        hours = {str(one) for one in (hour, hour % 12, hour % 12 + 12)}
        next_hours = {str(one) for one in (hour + 1, (hour + 1) % 12, hour % 12 + 1)}
        if not minute:
            return any(self._was_said(one) for one in hours)
        if minute in (15, 30, 45) and self._language != "en":
            return any(self._was_said(one) for one in hours | next_hours)
        return any(
            any(self._was_said(one) for one in some) and self._was_said(str(rest))
            for some, rest in ((hours, minute), (next_hours, 60 - minute))
        )

    def _was_said(self, value: str) -> bool:
        """Return whether a number was heard as it is, and not as a part of another."""
        return value in self._figures if self._language == "en" else self._has_foreign_value(value)

    def _has_value(self, value: str) -> bool:
        """Return whether a number in digits was heard as such or in words."""
        if self._language != "en":
            return self._has_foreign_value(value)
        if (
            value in self._figures
            or (value in _PARTS and self._words.has_word(_PARTS[value]))
            or self.has_digits(value)
        ):
            return True
        whole, _, fraction = value.partition(".")
        if fraction == "5":
            return whole in self._figures and self._words.has_word("half")
        return bool(fraction) and whole in self._figures and fraction.ljust(2, "0").lstrip("0") in self._figures

    def _has_foreign_value(self, value: str) -> bool:
        """The same for a language other than English, or one that is not known."""
        if value in self._foreign_figures or self.has_digits(value):
            return True
        number = float(value) if len(value) <= 15 else -1.0
        if number != int(number):
            whole, _, fraction = value.partition(".")
            return whole in self._foreign_figures and fraction in self._foreign_figures
        for scale in (1_000, 1_000_000, 1_000_000_000):
            if number >= scale and f"{number / scale:g}" in self._foreign_figures:
                return True
        if self._language not in LANGUAGES:
            return number < _MIN_SURE_NUMBER
        if 1100 <= number < 2000:  # also in hundreds, as years are
            hundreds = number_in_words(int(number) // 100, self._language)
            if hundreds is not None and hundreds in self._words.letters:
                return True
        words = number_in_words(int(number), self._language) if number <= MAX_NUMBER else None
        return words is None or words in self._words.letters

    def _has_date_word(self, token: str) -> bool:
        """Return whether a token is no weekday and no month, or one that was heard, in the plural perhaps."""
        heard = token in self._figures or self._words.has_word(token) or self._words.has_word(token + "s")
        return heard or token not in _DATE_WORDS

    def _has_date(self, date: re.Match[str]) -> bool:
        """Return whether the day and the month of a date in digits were heard. The year is often left out."""
        orders = [(date[0].rpartition("-")[2], date[1])] if date[1] else [(date[2], date[3]), (date[3], date[2])]
        for day, month in orders:
            name = MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else ""
            has_month = self._language != "en" or name in self._figures or self._has_value(str(int(month)))
            if name and has_month and self._has_value(str(int(day))):
                return True
        return False

    @cached_property
    def _figure_tokens(self) -> tuple[str, ...]:
        """The tokens of the figures with the words around them; all other words need no normalizing."""
        words = self._text.split()
        seeds = {word for word in set(words) if _is_seed(word)}
        islands: list[str] = []
        end = 0
        for position in [position for position, word in enumerate(words) if word in seeds]:
            start = max(end, position - _ISLAND_MARGIN)
            if start > end:
                islands.append(_SEPARATOR)
            end = position + _ISLAND_MARGIN + 1
            islands += words[start:end]
        return normalize(" ".join(islands))

    @cached_property
    def _figures(self) -> frozenset[str]:
        months = {
            MONTHS[int(number) - 1]
            for found in _DATE.findall(self._text)
            for number in found
            if number and 1 <= int(number) <= 12
        }
        return frozenset(self._figure_tokens) | months

    @cached_property
    def _figure_pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset(pairwise(self._figure_tokens))

    @cached_property
    def _digit_runs(self) -> tuple[str, frozenset[int]]:
        """All digits that were heard, joined, and where in them a figure begins or ends."""
        runs: list[str] = []
        starts: set[int] = {0}
        length = 0
        tokens = self._figure_tokens if self._language == "en" else tuple(re.findall(r"\d+", self._text))
        for token in tokens:
            runs.append((token[0].isdigit() and _only_digits(token)) or " ")
            length += len(runs[-1])
            starts.add(length)
        return "".join(runs), frozenset(starts)

    @cached_property
    def _foreign_figures(self) -> frozenset[str]:
        """The numbers in digits, with points and commas read in either way."""
        found: set[str] = set()
        for group in _DIGIT_GROUP.findall(self._text):
            found.update(_readings(group))
        return frozenset(found)


def _only_digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())


def _is_seed(word: str) -> bool:
    """Return whether a word holds a figure or a part of one."""
    bare = word.strip(_STRIPPED).lower()
    if bare in _FIGURE_SEEDS or _DIGIT.search(bare):
        return True
    return "-" in bare and bare.partition("-")[0] in _FIGURE_SEEDS


def _readings(group: str) -> set[str]:
    """Return the numbers that a group of digits can stand for: "1.234" is 1234, or 1 and 234, or 1.234."""
    parts = re.split(r"\D", group)
    joined = "".join(parts)
    found = {*parts, joined, f"{''.join(parts[:-1])}.{parts[-1]}"}
    return {_plain_number(one) for one in found if one}


def _plain_number(text: str) -> str:
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
