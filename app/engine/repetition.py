"""Detects repeated sentences in an answer while it streams, before they are passed on.

Small models fall into loops that vLLM's own `repetition_detection` does not see, because it compares runs of tokens: a
list whose numbers go up, or a bullet that returns after three others. Here, whole sentences are compared by their
words, without list marks, numbering, emphasis, case and punctuation. Text is passed on as it comes, and held back only
while it may still become a sentence that was written before.

A sentence counts if it has at least `MIN_SENTENCE_WORDS` words, or `MIN_SENTENCE_SIGNS` characters in a language
without spaces. The same sentence may be written once under each of two headings, as in minutes, where a decision is a
key point too. Knows nothing about models or HTTP.
"""

import re
from collections import Counter

MIN_SENTENCE_WORDS = 4
MIN_SENTENCE_SIGNS = 8
MAX_HEADINGS_PER_SENTENCE = 2  # number of headings under which the same sentence may be written
MAX_HEADING_WORDS = 8
MAX_SENTENCE_CHARACTERS = 1000  # a longer run of text without an end of a sentence is passed on without comparison

# Thai, Lao, Burmese, Khmer, kana and Chinese characters: scripts without spaces between words, of which each character
# counts.
_SIGN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SIGN}]|[^\W_{_SIGN}]+")
_SIGNS = re.compile(rf"[{_SIGN}]")
# The marks at the beginning of a line or a sentence: bullets, headings, quotes, numbers and letters of a list.
_MARK = re.compile(
    r"^(?:[\s>#*+\-\u2010-\u2015\u2022\u25aa\u25cf\u00b7_|]+|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]:]\s+)+"
)
# A mark that may not be complete yet.
_PARTIAL_MARK = re.compile(r"\(?(?:\d{0,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)\]:]?\s*$")
_CLOSING_CHARACTERS = "\"')\\]\u201d\u2019\u00bb*_"
# The end of a sentence: a mark before a space, a mark of a language without spaces, or the end of a line.
_END = re.compile(
    rf"[.!?\u2026\u061f\u06d4\u0964]+[{_CLOSING_CHARACTERS}]*(?=\s)|[\u3002\uff01\uff1f\uff0e]+[{_CLOSING_CHARACTERS}\u300d\u300f]*|\n"
)
# A point that ends an abbreviation, an initial or an ordinal. If a real end of a sentence is taken for one of these,
# two sentences are joined, and a repetition is detected a little later.
_ABBREVIATION_END = re.compile(
    r"(?:\b(?:[ap]\.m|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|vs|etc|approx|e\.g|i\.e|z\.B|d\.h|bzw|ca|Sr|Sra)|\b[^\W\d_]|(?:^|\s)\d{1,3})\.$",
    re.IGNORECASE,
)
# In Thai, Lao, Burmese and Khmer a space ends a phrase, and only a long phrase counts as a sentence.
_PHRASE_END = re.compile(r"(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\s+")
_MIN_PHRASE_SIGNS = 20
_LOOKBACK_CHARACTERS = 16  # neither the end of a sentence nor an abbreviation is longer
_DATA_PREFIXES = ("{", "[", "```")  # an answer that begins so is data or code, in which lines may be equal


class RepetitionDetector:
    """Detects the first repeated sentence of one answer.

    `feed` gets the text in pieces and returns the text that can be passed on. Once `repeated` is true, a sentence was
    repeated; neither it nor anything after it is passed on, and the answer should be stopped.
    """

    def __init__(self) -> None:
        self.repeated = False
        self._sentence = ""  # the beginning of the current sentence
        self._passed_characters = 0  # number of its characters that were passed on
        self._sentences_by_heading: dict[str, set[str]] = {"": set()}  # the sentences under each heading
        self._heading = ""
        self._sentence_counts: Counter[str] = Counter()
        self._is_data: bool | None = None  # None until the first character that is not a space

    def feed(self, piece: str) -> str:
        """Add the next piece of the answer, and return the text that can be passed on."""
        if self.repeated:
            return ""
        if self._is_data is None and (begin := (self._sentence + piece).lstrip()):
            self._is_data = begin.startswith(_DATA_PREFIXES)
        if self._is_data:
            return piece
        search_start = max(0, len(self._sentence) - _LOOKBACK_CHARACTERS)
        self._sentence += piece
        out = ""
        while (end := _sentence_end(self._sentence, search_start)) is not None:
            sentence, rest = self._sentence[:end], self._sentence[end:]
            if self._is_repeated(sentence):
                self.repeated = True
                return out
            out += sentence[self._passed_characters :]
            self._sentence, self._passed_characters, search_start = rest, 0, 0
        if not self._may_be_repeated():
            out += self._sentence[self._passed_characters :]
            self._passed_characters = len(self._sentence)
        return out

    def flush(self) -> str:
        """Return the text that was held back, at the end of the answer.

        If that is a whole sentence that is repeated, set `repeated` and return nothing.
        """
        if self.repeated or self._is_data:
            return ""
        if self._is_repeated(self._sentence):
            self.repeated = True
            return ""
        held, self._sentence, self._passed_characters = self._sentence[self._passed_characters :], "", 0
        return held

    def _is_repeated(self, sentence: str) -> bool:
        """Return whether the sentence is one repetition too many. If it is not, remember it."""
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
        """Return whether the current sentence may become one repetition too many.

        A list mark is held back until the text after it has come.
        """
        if len(self._sentence) > MAX_SENTENCE_CHARACTERS:
            return False
        bare = _MARK.sub("", self._sentence)
        if _PARTIAL_MARK.match(bare):
            return True
        beginning = _comparison_key(bare)
        return any(key.startswith(beginning) and self._exceeds_limit(key) for key in self._sentence_counts)


def _sentence_end(text: str, start: int) -> int | None:
    """Return the index after the first sentence of a text, or None if it has no end at or after `start`."""
    phrase = _PHRASE_END.search(text, start)
    for match in _END.finditer(text, start):
        if phrase and phrase.start() < match.start():
            break
        before = text[max(0, match.start() - _LOOKBACK_CHARACTERS) : match.end()]
        if match[0] == "\n" or not _ABBREVIATION_END.search(before.rstrip("\"')]*_")):
            return match.end()
    return phrase.start() if phrase else None


def _comparison_key(sentence: str) -> str:
    """Return the words of a sentence in the form in which they are compared."""
    return " ".join(_WORD.findall(_MARK.sub("", sentence).casefold()))


def _is_long_enough(key: str) -> bool:
    """Return whether a sentence is long enough to count as a repetition."""
    signs = len(_SIGNS.findall(key))
    if not signs:
        return key.count(" ") + 1 >= MIN_SENTENCE_WORDS and any(letter.isalpha() for letter in key)
    unspaced = re.match(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]", key)
    return signs >= (_MIN_PHRASE_SIGNS if unspaced else MIN_SENTENCE_SIGNS)


def _is_heading(sentence: str, key: str) -> bool:
    """Return whether a line is a heading: short, not a sentence, and marked by a number sign, emphasis or a colon."""
    line = sentence.strip()
    bare = line.strip("*_# ")
    if not key or key.count(" ") >= MAX_HEADING_WORDS or bare.endswith((".", "!", "?", "\u3002")):
        return False
    return line.startswith("#") or bare.endswith((":", "\uff1a")) or (line.startswith("**") and line.endswith("**"))
