"""Sentences that come again in one answer: found while the answer streams, before they are passed on.

Small models fall into loops that vLLM's own `repetition_detection` does not see, because it compares runs of tokens: a
list whose numbers go up, a bullet that returns after three others. Here whole sentences are compared by their words,
without list marks, numbering, emphasis, case and punctuation. Text passes through as it comes; it is held back only
while it may still turn out to be a sentence that was already said.

A sentence counts if it has at least `LEAST_WORDS` words, or `LEAST_SIGNS` signs in a language without spaces. The same
sentence may stand once under each of two headings, as in minutes, where a decision is a key point too. Knows nothing
about models or HTTP.
"""

import re
from collections import Counter

LEAST_WORDS = 4
LEAST_SIGNS = 8
UNDER_HEADINGS = 2  # headings under which the same sentence may stand
LONGEST_HEADING = 8  # words
LONGEST_SENTENCE = 1000  # letters that are compared; what goes on for longer without an end passes as it comes

# Thai, Lao, Burmese, Khmer, kana, Chinese characters: each sign counts, and no spaces stand between words.
_SIGN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}]+")
_SIGNS = re.compile(rf"[{_SIGN}]")
# What opens a line or a sentence without being part of it: bullets, headings, quotes, numbers and letters of a list.
_MARK = re.compile(
    r"^(?:[\s>#*+\-\u2010-\u2015\u2022\u25aa\u25cf\u00b7_|]+|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]:]\s+)+"
)
# A mark that has not come whole yet.
_BEGUN_MARK = re.compile(r"\(?(?:\d{0,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]:]?\s*$")
_CLOSING = "\"')\\]\u201d\u2019\u00bb*_"
# The end of a sentence: a mark before a space, a mark of a language that has none, or a line's end.
_END = re.compile(
    rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSING}]*(?=\s)|[\u3002\uff01\uff1f\uff0e]+[{_CLOSING}\u300d\u300f]*|\n"
)
# A point that ends an abbreviation, an initial or an ordinal. To take a real end for one of these only joins two
# sentences, and what repeats itself is then found a little later.
_NO_END = re.compile(
    r"(?:\b(?:[ap]\.m|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|approx|e\.g|i\.e|z\.B|d\.h|bzw|ca|Sr|Sra)|\b[^\W\d_]|(?:^|\s)\d{1,3})\.$",
    re.IGNORECASE,
)
# In Thai and its neighbours a space ends a phrase, and only a long one counts as a sentence.
_PHRASE_END = re.compile(r"(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\s+")
_LEAST_IN_PHRASE = 20
_LOOK_BACK = 16  # letters: an end, or an abbreviation, is no longer
_DATA = ("{", "[", "```")  # an answer that begins so is data or code, where equal lines are nothing strange


class RepeatedSentences:
    """Watches one answer. `feed` gets its text in pieces and returns what can be passed on; once `found` is true, a
    sentence has come again, it and all behind it are not passed on, and the answer should be stopped.
    """

    def __init__(self) -> None:
        self.found = False
        self._open = ""  # the sentence in progress, as far as it has come
        self._passed = 0  # characters of it that were passed on
        self._under: dict[str, set[str]] = {"": set()}  # the sentences under each heading
        self._heading = ""
        self._times: Counter[str] = Counter()
        self._data: bool | None = None  # known once the first sign is there

    def feed(self, piece: str) -> str:
        """The next piece of the answer in; what can be passed on out."""
        if self.found:
            return ""
        if self._data is None and (begin := (self._open + piece).lstrip()):
            self._data = begin.startswith(_DATA)
        if self._data:
            return piece
        searched = max(0, len(self._open) - _LOOK_BACK)
        self._open += piece
        out = ""
        while (end := _end_of(self._open, searched)) is not None:
            sentence, rest = self._open[:end], self._open[end:]
            if self._comes_again(sentence):
                self.found = True
                return out
            out += sentence[self._passed :]
            self._open, self._passed, searched = rest, 0, 0
        if not self._may_come_again():
            out += self._open[self._passed :]
            self._passed = len(self._open)
        return out

    def rest(self) -> str:
        """What was held back, at the answer's end. Sets `found` if it is a whole sentence that came again."""
        if self.found or self._data:
            return ""
        if self._comes_again(self._open):
            self.found = True
            return ""
        held, self._open, self._passed = self._open[self._passed :], "", 0
        return held

    def _comes_again(self, sentence: str) -> bool:
        """Whether the sentence was already said where it may not be again; remembers it if not."""
        key = _key(sentence)
        if _is_heading(sentence, key):
            self._heading = key
            self._under.setdefault(key, set())
            return False
        if not _counts(key):
            return False
        if self._is_one_too_many(key):
            return True
        self._under[self._heading].add(key)
        self._times[key] += 1
        return False

    def _is_one_too_many(self, key: str) -> bool:
        return key in self._under[self._heading] or self._times[key] >= UNDER_HEADINGS

    def _may_come_again(self) -> bool:
        """Whether the sentence in progress could still become one that was said. A mark waits for what it marks."""
        if len(self._open) > LONGEST_SENTENCE:
            return False
        bare = _MARK.sub("", self._open)
        if _BEGUN_MARK.match(bare):
            return True
        begun = _key(bare)
        return any(said.startswith(begun) and self._is_one_too_many(said) for said in self._times)


def _end_of(text: str, start: int) -> int | None:
    """Where the first sentence of the text ends, if it does; no end begins before `start`."""
    phrase = _PHRASE_END.search(text, start)
    for match in _END.finditer(text, start):
        if phrase and phrase.start() < match.start():
            break
        before = text[max(0, match.start() - _LOOK_BACK) : match.end()]
        if match[0] == "\n" or not _NO_END.search(before.rstrip("\"')]*_")):
            return match.end()
    return phrase.start() if phrase else None


def _key(sentence: str) -> str:
    """The sentence's words, as they are compared."""
    return " ".join(_PIECE.findall(_MARK.sub("", sentence).casefold()))


def _counts(key: str) -> bool:
    """Whether a sentence is long enough to be missed."""
    signs = len(_SIGNS.findall(key))
    if not signs:
        return key.count(" ") + 1 >= LEAST_WORDS and any(letter.isalpha() for letter in key)
    unspaced = re.match(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]", key)
    return signs >= (_LEAST_IN_PHRASE if unspaced else LEAST_SIGNS)


def _is_heading(sentence: str, key: str) -> bool:
    """Whether a line is a heading: short, no sentence, and marked by a number sign, emphasis or a colon."""
    line = sentence.strip()
    bare = line.strip("*_# ")
    if not key or key.count(" ") >= LONGEST_HEADING or bare.endswith((".", "!", "?", "\u3002")):
        return False
    return line.startswith("#") or bare.endswith((":", "\uff1a")) or (line.startswith("**") and line.endswith("**"))
