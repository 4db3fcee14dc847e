"""Finds where the sentences of a summary come from: of a long recording the windows, by the words that a sentence
shares with the notes, and of an answer in sections the part of the recording that the section is about.

A model that is asked to name its sources would invent some. This comparison can be checked by anyone who has the notes.
A word counts more the rarer it is among the notes, so that a name or an amount says more than "meeting". Knows nothing
about models or audio.
"""

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.audio.windows import Window
from app.engine.base import AnswerSection

# A word of a language that writes spaces, or one character of a language that does not (Thai, Lao, Chinese, Japanese).
_UNSPACED_CHARACTER = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[0-9]+(?:[.,:][0-9]+)*|[^\W\d_{_UNSPACED_CHARACTER}]+|[{_UNSPACED_CHARACTER}]")
# The end of a sentence with its closing marks, but not the point in "3.5" or "e.g.".
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^\Wa-z])|(?<=[\u3002\uff01\uff1f])")
# A window is cited if it shares at least this part of what the best window shares, and if the best window shares at
# least this part of the sentence.
_MIN_SHARE_OF_BEST = 0.7
_MIN_SHARE_OF_SENTENCE = 0.25


@dataclass(frozen=True)
class Citation:
    """A sentence or bullet of the summary, `text[start:end]`, and where it comes from.

    Attributes:
        start: Where it begins in the text.
        end: Where it ends in the text.
        windows: The windows (from 1) whose notes share most with it. Empty if no note shares enough, or without notes.
        times: The parts of the recording that it comes from, as their start and end in seconds.
    """

    start: int
    end: int
    windows: tuple[int, ...]
    times: tuple[tuple[float, float], ...] = ()


def cite(text: str, notes: Sequence[str], windows: Sequence[Window]) -> list[Citation]:
    """Return a citation for each sentence of `text`, in order. notes: those on the windows, in order."""
    note_words = [set(compared_words(note)) for note in notes]
    note_counts = Counter(word for note in note_words for word in note)
    weights = {word: math.log(1 + len(notes) / count) for word, count in note_counts.items()}
    unknown_weight = math.log(1 + len(notes))
    citations = []
    for start, end in sentence_spans(text):
        sentence_words = set(compared_words(text[start:end]))
        whole = sum(weights.get(word, unknown_weight) for word in sentence_words)
        shared = [sum(weights[word] for word in sentence_words & note) for note in note_words]
        best = max(shared, default=0.0)
        is_enough = best and whole and best / whole >= _MIN_SHARE_OF_SENTENCE
        cited = [i for i, share in enumerate(shared) if share >= _MIN_SHARE_OF_BEST * best] if is_enough else []
        times = tuple((windows[i].start, windows[i].end) for i in cited)
        citations.append(Citation(start, end, tuple(i + 1 for i in cited), times))
    return citations


def cite_sections(text: str, sections: Sequence[AnswerSection], offset: float) -> list[Citation]:
    """Return a citation for each sentence of an answer in sections, in order.

    offset: where the samples that the sections are about begin in the recording, in seconds.
    """
    text_ends = [section.text_end for section in sections]
    citations = []
    for start, end in sentence_spans(text):
        section = sections[min(bisect_left(text_ends, end), len(sections) - 1)]
        citations.append(Citation(start, end, (), ((section.start + offset, section.end + offset),)))
    return citations


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return start and end of each sentence, line by line. Text without a word, such as a bullet's mark, is none."""
    spans = []
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        for mark in [*_SENTENCE_END.finditer(text, line.start(), line.end()), None]:
            end = mark.start() if mark else line.end()
            piece = text[start:end]
            if _WORD.search(piece):
                left = len(piece) - len(piece.lstrip(" \t-*•#>"))
                spans.append((start + left, start + len(piece.rstrip())))
            start = mark.end() if mark else end
    return spans


def compared_words(text: str) -> list[str]:
    """Return the words of a text in the form in which they are compared."""
    return [word.casefold() for word in _WORD.findall(text)]
