"""Sentences that come again in one answer: found while the answer streams, before they are passed on.

Small models fall into loops that vLLM's own `repetition_detection` does not see, because it compares runs of tokens: a
list whose numbers go up, a bullet that returns after three others. Here whole sentences are compared by their words,
without list marks, numbering, emphasis, case and punctuation. Text passes through as it comes; it is held back only
while it may still turn out to be a sentence that was already said.

A sentence counts if it has at least `MIN_SENTENCE_WORDS` words, or `MIN_SENTENCE_SIGNS` signs in a language without
spaces. The same sentence may stand once under each of two headings, as in minutes, where a decision is a key point too.
Knows nothing about models or HTTP.
"""

import re
from collections import Counter

MIN_SENTENCE_WORDS = 4
MIN_SENTENCE_SIGNS = 8
MAX_HEADINGS_PER_SENTENCE = 2  # headings under which the same sentence may stand
MAX_HEADING_WORDS = 8  # words
MAX_SENTENCE_CHARACTERS = 1000  # letters that are compared; what goes on for longer without an end passes as it comes

# Thai, Lao, Burmese, Khmer, kana, Chinese characters: each sign counts, and no spaces stand between words.
_SIGN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}]+")
_SIGNS = re.compile(rf"[{_SIGN}]")
# What opens a line or a sentence without being part of it: bullets, headings, quotes, numbers and letters of a list.
_MARK = re.compile(
    r"^(?:[\s>#*+\-\u2010-\u2015\u2022\u25aa\u25cf\u00b7_|]+|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]:]\s+)+"
)
# A mark that has not come whole yet.
_PARTIAL_MARK = re.compile(r"\(?(?:\d{0,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]:]?\s*$")
_CLOSING_CHARACTERS = "\"')\\]\u201d\u2019\u00bb*_"
# The end of a sentence: a mark before a space, a mark of a language that has none, or a line's end.
_END = re.compile(
    rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSING_CHARACTERS}]*(?=\s)|[\u3002\uff01\uff1f\uff0e]+[{_CLOSING_CHARACTERS}\u300d\u300f]*|\n"
)
# A point that ends an abbreviation, an initial or an ordinal. To take a real end for one of these only joins two
# sentences, and what repeats itself is then found a little later.
_ABBREVIATION_END = re.compile(
    r"(?:\b(?:[ap]\.m|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|approx|e\.g|i\.e|z\.B|d\.h|bzw|ca|Sr|Sra)|\b[^\W\d_]|(?:^|\s)\d{1,3})\.$",
    re.IGNORECASE,
)
# In Thai and its neighbours a space ends a phrase, and only a long one counts as a sentence.
_PHRASE_END = re.compile(r"(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\s+")
_MIN_PHRASE_SIGNS = 20
_LOOKBACK_CHARACTERS = 16  # letters: an end, or an abbreviation, is no longer
_DATA_PREFIXES = ("{", "[", "```")  # an answer that begins so is data or code, where equal lines are nothing strange


class RepetitionDetector:
    """Watches one answer. `feed` gets its text in pieces and returns what can be passed on; once `found` is true, a
    sentence has come again, it and all behind it are not passed on, and the answer should be stopped.
    """

    def __init__(self) -> None:
        self.repeated = False
        self._sentence = ""  # the sentence in progress, as far as it has come
        self._passed_characters = 0  # characters of it that were passed on
        self._sentences_by_heading: dict[str, set[str]] = {"": set()}  # the sentences under each heading
        self._heading = ""
        self._sentence_counts: Counter[str] = Counter()
        self._is_data: bool | None = None  # known once the first sign is there

    def feed(self, piece: str) -> str:
        """The next piece of the answer in; what can be passed on out."""
        if self.repeated:
            return ""
        if self._is_data is None and (begin := (self._sentence + piece).lstrip()):
            self._is_data = begin.startswith(_DATA_PREFIXES)
        if self._is_data:
            return piece
        searched = max(0, len(self._sentence) - _LOOKBACK_CHARACTERS)
        self._sentence += piece
        out = ""
        while (end := _sentence_end(self._sentence, searched)) is not None:
            sentence, rest = self._sentence[:end], self._sentence[end:]
            if self._is_repeated(sentence):
                self.repeated = True
                return out
            out += sentence[self._passed_characters :]
            self._sentence, self._passed_characters, searched = rest, 0, 0
        if not self._may_be_repeated():
            out += self._sentence[self._passed_characters :]
            self._passed_characters = len(self._sentence)
        return out

    def flush(self) -> str:
        """What was held back, at the answer's end. Sets `found` if it is a whole sentence that came again."""
        if self.repeated or self._is_data:
            return ""
        if self._is_repeated(self._sentence):
            self.repeated = True
            return ""
        held, self._sentence, self._passed_characters = self._sentence[self._passed_characters :], "", 0
        return held

    def _is_repeated(self, sentence: str) -> bool:
        """Whether the sentence was already said where it may not be again; remembers it if not."""
        key = _comparison_key(sentence)
        if _is_heading(sentence, key):
            self._heading = key
            self._sentences_by_heading.setdefault(key, set())
            return False
        if not _is_long_enough(key):
            return False
        if self._exceeds_limit(key):
            return True
        self._sentences_by_heading[self._heading].add(key)
        self._sentence_counts[key] += 1
        return False

    def _exceeds_limit(self, key: str) -> bool:
        return (
            key in self._sentences_by_heading[self._heading] or self._sentence_counts[key] >= MAX_HEADINGS_PER_SENTENCE
        )

    def _may_be_repeated(self) -> bool:
        """Whether the sentence in progress could still become one that was said. A mark waits for what it marks."""
        if len(self._sentence) > MAX_SENTENCE_CHARACTERS:
            return False
        bare = _MARK.sub("", self._sentence)
        if _PARTIAL_MARK.match(bare):
            return True
        begun = _comparison_key(bare)
        return any(said.startswith(begun) and self._exceeds_limit(said) for said in self._sentence_counts)


def _sentence_end(text: str, start: int) -> int | None:
    """Where the first sentence of the text ends, if it does; no end begins before `start`."""
    phrase = _PHRASE_END.search(text, start)
    for match in _END.finditer(text, start):
        if phrase and phrase.start() < match.start():
            break
        before = text[max(0, match.start() - _LOOKBACK_CHARACTERS) : match.end()]
        if match[0] == "\n" or not _ABBREVIATION_END.search(before.rstrip("\"')]*_")):
            return match.end()
    return phrase.start() if phrase else None


def _comparison_key(sentence: str) -> str:
    """The sentence's words, as they are compared."""
    return " ".join(_WORD.findall(_MARK.sub("", sentence).casefold()))


def _is_long_enough(key: str) -> bool:
    """Whether a sentence is long enough to be missed."""
    signs = len(_SIGNS.findall(key))
    if not signs:
        return key.count(" ") + 1 >= MIN_SENTENCE_WORDS and any(letter.isalpha() for letter in key)
    unspaced = re.match(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]", key)
    return signs >= (_MIN_PHRASE_SIGNS if unspaced else MIN_SENTENCE_SIGNS)


def _is_heading(sentence: str, key: str) -> bool:
    """Whether a line is a heading: short, no sentence, and marked by a number sign, emphasis or a colon."""
    line = sentence.strip()
    bare = line.strip("*_# ")
    if not key or key.count(" ") >= MAX_HEADING_WORDS or bare.endswith((".", "!", "?", "\u3002")):
        return False
    return line.startswith("#") or bare.endswith((":", "\uff1a")) or (line.startswith("**") and line.endswith("**"))
