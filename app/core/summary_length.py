"""Parses the length of a summary: the number of words that a caller asks for in words or digits.

The prompt gives a model one number ("Use about 60 words."). So a range becomes its middle, and an upper bound becomes
four fifths of itself, because models write too much as often as too little. This module knows nothing about prompts.
"""

import re

MIN_WORDS, MAX_WORDS = 5, 1000

_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS = {name: value for value, name in enumerate(_UNITS)} | {
    name: 10 * value for value, name in enumerate(_TENS, 2)
}

_NUMBER = r"[0-9]{1,5}|[0-9]{1,2},[0-9]{3}|[a-z]+(?:[ -][a-z]+)*?"
_ABOUT = r"about|around|approximately|approx\.?|roughly|circa|ca?\.?|some|exactly|~|≈"
_AT_MOST = (
    r"at most|at the most|up to|no more than|not more than|maximum(?: of)?|max\.?(?: of)?|under|below|less than|"
    r"fewer than|within|not over|<=|≤|<"
)
_AT_LEAST = r"at least|no less than|no fewer than|minimum(?: of)?|min\.?(?: of)?|over|more than|>=|≥|>"
_OR_LESS = r"or less|or fewer|at most|at the most|max\.?|maximum|tops"
_OR_SO = r"or so|approximately|approx\.?|roughly"
_RANGE = re.compile(
    rf"^(?:(?:{_ABOUT}|between|from)\s*)?(?P<low>{_NUMBER})\s*(?:-|\u2010|\u2011|\u2013|\u2014|to|and|or)\s*"
    rf"(?P<high>{_NUMBER})(?:\s*words?)?$"
)
_ONE = re.compile(
    rf"^(?:in\s+)?(?:(?P<about>{_ABOUT})\s*|(?P<most>{_AT_MOST})\s*|(?P<least>{_AT_LEAST})\s*)?(?P<number>{_NUMBER})"
    rf"(?:[\s-]*words?)?(?:\s+long)?(?:,?\s*\(?(?:(?P<less>{_OR_LESS})|{_OR_SO})\)?)?$"
)


def target_word_count(wording: str) -> int | None:
    """Return the number of words to aim at, from 5 to 1000, or None if the wording is not understood or outside that.

    A number in digits or English words is understood, with or without "words": alone ("60"), with "about", "at most" or
    "at least", or as a range ("60-80 words", "between fifty and a hundred").
    """
    text = " ".join(wording.lower().split()).removesuffix(".")
    if found := _ONE.match(text):
        number = _parse_number(found["number"])
        if number is not None:
            if not MIN_WORDS <= number <= MAX_WORDS:
                return None
            if found["most"] or found["less"]:
                return max(MIN_WORDS, number * 4 // 5)
            return min(MAX_WORDS, number * 6 // 5) if found["least"] else number
    if found := _RANGE.match(text):
        low, high = _parse_number(found["low"]), _parse_number(found["high"])
        if low is not None and high is not None and MIN_WORDS <= low <= high <= MAX_WORDS:
            return (low + high) // 2
    return None


def _parse_number(text: str) -> int | None:
    """Return a number below a million, in digits or English words ("a hundred and twenty-five"); else None."""
    if text[0] in "0123456789":
        return int(text.replace(",", ""))
    names = [name for name in re.split("[ -]", text) if name != "and"]
    if names and names[0] in ("a", "an") and names[1:2] in (["hundred"], ["thousand"]):
        names[0] = "one"
    total, group, before = 0, 0, ""
    for name in names:
        if name in _NUMBERS:
            # "twenty five" is a number, "five twenty" and "ten five" are not.
            if before in _NUMBERS and not (before in _TENS and 0 < _NUMBERS[name] < 10):
                return None
            group += _NUMBERS[name]
        elif name == "hundred" and before in _NUMBERS and 0 < group < 100:
            group *= 100
        elif name == "thousand" and group and not total:
            total, group = 1000 * group, 0
        else:
            return None
        before = name
    return total + group if names else None
