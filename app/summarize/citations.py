"""Which windows a long summary's sentences come from, told by the words they share with the windows' notes.

A model asked to name its sources would make some up; what is compared here can be checked by anybody who has the
notes. A word counts by how rare it is among the notes, so that a name or an amount says more than "meeting". Knows
nothing about models or audio.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Words of a language that writes spaces between them; signs of one that does not (Thai, Lao, Chinese, Japanese), each
# by itself.
_UNSPACED_CHARACTER = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[0-9]+(?:[.,:][0-9]+)*|[^\W\d_{_UNSPACED_CHARACTER}]+|[{_UNSPACED_CHARACTER}]")
# The end of a sentence, with what closes it; not the point in "3.5" or "e.g.".
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^\Wa-z])|(?<=[\u3002\uff01\uff1f])")
# A window is named if it shares this much of what the best one does, and the best one this much of the sentence.
_MIN_SHARE_OF_BEST = 0.7
_MIN_SHARE_OF_SENTENCE = 0.25


@dataclass(frozen=True)
class Citation:
    """A sentence or bullet of the summary, `text[start:end]`, and the windows (from 1) whose notes it shares most
    with; none where it shares too little with any.
    """

    start: int
    end: int
    windows: tuple[int, ...]


def cite(text: str, notes: Sequence[str]) -> list[Citation]:
    """A citation for each sentence of `text`, in order. notes: of the windows, in order."""
    note_words = [set(compared_words(note)) for note in notes]
    among = Counter(word for note in note_words for word in note)
    rare = {word: math.log(1 + len(notes) / count) for word, count in among.items()}
    unheard = math.log(1 + len(notes))
    out = []
    for start, end in sentence_spans(text):
        sentence_words = set(compared_words(text[start:end]))
        whole = sum(rare.get(word, unheard) for word in sentence_words)
        shared = [sum(rare[word] for word in sentence_words & note) for note in note_words]
        best = max(shared, default=0.0)
        found = [i + 1 for i, share in enumerate(shared) if share >= _MIN_SHARE_OF_BEST * best] if best else []
        out.append(Citation(start, end, tuple(found) if whole and best / whole >= _MIN_SHARE_OF_SENTENCE else ()))
    return out


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences lie, line by line; what holds no word (a bullet's mark, a rule) is none."""
    found = []
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        for mark in [*_SENTENCE_END.finditer(text, line.start(), line.end()), None]:
            end = mark.start() if mark else line.end()
            piece = text[start:end]
            if _WORD.search(piece):
                left = len(piece) - len(piece.lstrip(" \t-*•#>"))
                found.append((start + left, start + len(piece.rstrip())))
            start = mark.end() if mark else end
    return found


def compared_words(text: str) -> list[str]:
    """The words in it, as they are compared."""
    return [word.casefold() for word in _WORD.findall(text)]
