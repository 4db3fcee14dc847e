# ruff: noqa: RUF001  (typographic marks are meant)
"""Finds the names, numbers, dates and times in a summary that were never heard.

A reader can check such a summary at the places that are named. What is open counts as supported: a wrong alarm costs
more trust than a missed one. Sums that a model worked out were not heard. A contradiction that uses only words of the
recording is not found. Names are only looked for where an English recording is summarized in English, because other
languages capitalize other words (German all nouns) and translate names of places; numbers and times are looked for in
all languages.

It takes time linear in the length of both texts and raises nothing. Knows nothing about models.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Literal

from app.core.text.figures import Figure, find_figures
from app.core.text.heard_figures import HeardFigures
from app.core.text.heard_words import HeardWords
from app.core.text.json_texts import JsonText, json_texts
from app.core.text.names import NameWord, find_name_words
from app.core.text.word_lists import GIVEN_NAMES, LANGUAGE_MARKERS

UnsupportedKind = Literal["name", "number", "date", "time"]
_FoundSpan = tuple[int, int, UnsupportedKind]  # start, end, kind

_WORD = re.compile(r"[^\W\d_]+")
# A figure in digits as any language writes it; and the number of a list, which is none.
_DIGITS = re.compile(
    r"(?P<time>(?<![\d.,:])\d{1,2}[:h]\d{2}(?:[:]\d{2})?(?![\d]))|(?<![\w.,'\u00a0\u202f])\d(?:[\d.,'\u00a0\u202f]*\d)?(?!\w)"
)
_LIST_NUMBER = re.compile(r"^[ \t>#*_(\[-]*\d{1,3}[.):\]]+(?=[\s*_]|$)|\(\d{1,2}\)", re.MULTILINE)
_MIN_MARKERS = 2  # words that tell a language, without which nothing is said about it
_MARKER_WORDS = 2000  # the first words of a text, which tell its language
_MIN_JSON_NUMBER = 10  # a smaller number in JSON may be a grade or a count and not something that was said
# Properties that name somebody, and properties that hold a heading.
_NAME_PROPERTIES = frozenset(
    [
        "who",
        "owner",
        "owners",
        "assignee",
        "assignees",
        "person",
        "people",
        "name",
        "names",
        "speaker",
        "speakers",
        "caller",
        "attendee",
        "attendees",
        "participant",
        "participants",
        "contact",
        "responsible",
    ]
)
_HEADING_PROPERTIES = frozenset({"title", "headline", "heading", "subject", "topic"})


@dataclass(frozen=True)
class Unsupported:
    """A part of a summary, `summary[start:end]`, that was not heard. Places are counted in Unicode code points.

    If the summary is JSON, `text` is without escapes. in_context: whether the caller's background has it, though nobody
    said it.
    """

    start: int
    end: int
    text: str
    kind: UnsupportedKind
    in_context: bool = False


def find_unsupported(
    summary: str,
    heard: str,
    requested: str = "",
    background: str = "",
    *,
    spoken_language: str | None = None,
    summary_language: str | None = None,
    is_json: bool = False,
) -> list[Unsupported]:
    """Return the unsupported parts of a summary, in order.

    Args:
        summary: The summary.
        heard: The transcript.
        requested: What the caller of the summary said, whose names and figures the summary may repeat.
        background: What the caller knew before. What the summary repeats of it is unsupported, and marked.
        spoken_language: BCP 47 tag of the transcript's language. None to tell it by its words.
        summary_language: BCP 47 tag of the language that was asked for. None to tell it by the summary's words.
        is_json: Whether the summary is JSON. Its property names are then left out.
    """
    spoken = _primary(spoken_language) or guess_language(heard)
    requested_language = _primary(summary_language)
    written = guess_language(summary) or requested_language or spoken or "en"
    if requested_language is not None and requested_language != "en":
        written = requested_language  # whatever its words look like
    text = f"{heard}\n{requested}"
    with_names = (spoken, written) == ("en", "en")
    finder = _Finder.of(text, spoken, with_names=with_names)
    texts = list(json_texts(summary)) if is_json else [JsonText(summary, "", False, range(len(summary) + 1))]
    knowing = _Finder.of(f"{text}\n{background}", spoken, with_names=with_names) if background else None
    found: list[Unsupported] = []
    for one in texts:
        spans = sorted(finder.find(one, is_english=written == "en"))
        unknown = sorted(knowing.find(one, is_english=written == "en")) if knowing and spans else spans
        for (start, end, kind), is_unknown in zip(spans, _overlaps(spans, unknown), strict=True):
            place = one.offsets[start], one.offsets[end]
            found.append(Unsupported(*place, one.text[start:end], kind, in_context=not is_unknown))
    return found


def _overlaps(spans: Sequence[_FoundSpan], others: Sequence[_FoundSpan]) -> Iterator[bool]:
    """Yield of each span whether it overlaps one of the others. Both are sorted."""
    starts = [start for start, _, _ in others]
    furthest_ends = list(accumulate((end for _, end, _ in others), max))
    for start, end, _ in spans:
        before = bisect_left(starts, end)
        yield before > 0 and furthest_ends[before - 1] > start


def guess_language(text: str) -> str | None:
    """Return the language of a text by its most common words, as a primary BCP 47 tag; None if they do not tell."""
    words = [found[0].lower() for found, _ in zip(_WORD.finditer(text), range(_MARKER_WORDS), strict=False)]
    counts = sorted(
        ((sum(word in markers for word in words), language) for language, markers in LANGUAGE_MARKERS.items()),
        reverse=True,
    )
    best, second = counts[0], counts[1]
    return best[1] if best[0] >= _MIN_MARKERS and best[0] > second[0] else None


class _Finder:
    """Looks for unsupported parts in the texts of one summary. with_names: whether names are looked for."""

    def __init__(self, words: HeardWords, figures: HeardFigures, *, with_names: bool) -> None:
        self._words = words
        self._figures = figures
        self._with_names = with_names
        self._names_heard: dict[str, bool] = {}

    @classmethod
    def of(cls, text: str, language: str | None, *, with_names: bool) -> "_Finder":
        """Return the finder of what a text does not have. language: that of the text, as a primary BCP 47 tag."""
        words = HeardWords(text)
        return cls(words, HeardFigures(text, language, words), with_names=with_names)

    def find(self, text: JsonText, *, is_english: bool) -> Iterator[tuple[int, int, UnsupportedKind]]:
        """Yield start, end and kind of what is unsupported in one text of the summary."""
        if text.is_number:
            if _is_large(text.text) and not self._figures.has_figure(text.text):
                yield 0, len(text.text), "number"
            return
        yield from self._find_figures(text.text, is_english)
        if self._with_names and text.name.lower() not in _HEADING_PROPERTIES:
            yield from self._find_names(text.text, is_name=text.name.lower() in _NAME_PROPERTIES)

    def _find_figures(self, text: str, is_english: bool) -> Iterator[tuple[int, int, UnsupportedKind]]:
        is_heard = self._figures.has_figure if is_english else self._figures.has_foreign_figure
        for figure in find_figures(text) if is_english else _find_digits(text):
            if not is_heard(figure.text):
                yield figure.start, figure.end, figure.kind

    def _find_names(self, text: str, is_name: bool) -> Iterator[tuple[int, int, UnsupportedKind]]:
        words = list(find_name_words(text, is_name=is_name))
        unheard = {word.text for word in words if not word.is_opening and not self._is_heard(word)}
        names: list[list[NameWord]] = []
        for word in words:
            if word.follows_name and names:
                names[-1].append(word)
            else:
                names.append([word])
        for name in names:
            if len(name) > 1 and self._words.has_word("".join(word.text for word in name)):
                continue
            flags = [not self._is_heard(word) for word in name]
            # The first word of a sentence is a name for certain if it is a given name, if it is an unheard name
            # elsewhere, or if an unheard name goes on behind it.
            first = name[0]
            if flags[0] and first.is_opening and first.text.lower() not in GIVEN_NAMES and first.text not in unheard:
                flags[0] = len(flags) > 1 and flags[1]
            for is_unheard, group in groupby(zip(flags, name, strict=True), key=lambda pair: pair[0]):
                run = [word for _, word in group]
                if is_unheard:
                    yield run[0].start, run[-1].end, "name"

    def _is_heard(self, word: NameWord) -> bool:
        if word.text not in self._names_heard:
            parts = [part for part in re.split(r"[\d'’&/.-]+", word.text) if part]
            self._names_heard[word.text] = self._words.has_name(word.text) or all(map(self._words.has_name, parts))
        return self._names_heard[word.text] or (word.has_point and self._words.is_abbreviation(word.text))


def _find_digits(text: str) -> Iterator[Figure]:
    """Yield the numbers and times in digits of a text in any language."""
    skipped = {start for found in _LIST_NUMBER.finditer(text) for start in range(*found.span())}
    for found in _DIGITS.finditer(text):
        if found.start() not in skipped:
            kind: Literal["number", "time"] = "time" if found["time"] else "number"
            yield Figure(found.start(), found.end(), kind, found[0])


def _is_large(number: str) -> bool:
    try:
        return abs(float(number)) >= _MIN_JSON_NUMBER
    except ValueError:
        return False


def _primary(tag: str | None) -> str | None:
    return tag.split("-")[0].lower() if tag else None
