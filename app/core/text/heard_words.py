"""The words that were heard, prepared so that many names can be looked up among them.

A name is also found if it was written down in two words or with a letter or two wrong, because a recognizer spells
names as they sound. Where it is open whether a name was heard, it counts as heard. Knows nothing about summaries.
"""

import re
import unicodedata
from collections import defaultdict
from functools import cached_property
from itertools import chain, pairwise
from string import ascii_lowercase as _LETTERS

from rapidfuzz import process
from rapidfuzz.distance import OSA

_WORD = re.compile(r"[^\W\d_]+")
_ACCENTS = re.compile(r"[\u0300-\u036f]+")
_DOUBLED = re.compile(r"([a-z])\1+")
_LONG_NAME_LETTERS = 7  # from this length on, two letters may differ, and from four on one
_MIN_FUZZY_LETTERS = 4
_MIN_NAME_LETTERS = 3  # from this length on, names that sound the same are the same
_MAX_COMPARISONS = 400_000  # of two spellings for one text, so that a text made of names takes no longer than another
# Letters that are written for the same sound.
_SOUNDS = str.maketrans({"c": "k", "q": "k", "z": "s", "y": "i", "w": "v", "j": "i", "x": "k"})


class HeardWords:
    """The words of a transcript, and of what else may be repeated."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._comparisons = 0
        self._sounds_by_letter: dict[str, list[str]] = {}

    def has_word(self, word: str) -> bool:
        """Return whether a word was heard in this spelling, or in two words that give it."""
        folded = fold(word)
        return not folded or folded in self._words or folded in self._word_pairs

    def has_name(self, name: str) -> bool:
        """Return whether a name was heard, in this spelling or in a similar one."""
        folded = fold(name)
        if self.has_word(name) or folded + "s" in self._words or folded.removesuffix("s") in self._words:
            return True
        if 1 < len(folded) <= 5 and name.isupper() and folded in self._initials:
            return True
        return self._is_similar(_sound(folded))

    def is_abbreviation(self, word: str) -> bool:
        """Return whether a word that a point follows abbreviates a word that was heard, as "Dept" does."""
        folded = fold(word)
        if not 1 < len(folded) <= 5:
            return False
        candidates = self._words_by_letter[folded[0]]
        return self._exceeds_budget(len(candidates)) or any(_is_subsequence(folded, one) for one in candidates)

    @cached_property
    def letters(self) -> str:
        """All words without anything between them."""
        return "".join(self._word_list)

    def _is_similar(self, sound: str) -> bool:
        if len(sound) < _MIN_NAME_LETTERS or not sound.isalpha():
            return False
        limit = 2 if len(sound) >= _LONG_NAME_LETTERS else 1 if len(sound) >= _MIN_FUZZY_LETTERS else 0
        candidates = self._sounds(sound[0])
        if self._exceeds_budget(len(candidates)):
            return True
        return process.extractOne(sound, candidates, scorer=OSA.distance, score_cutoff=limit) is not None

    def _exceeds_budget(self, comparisons: int) -> bool:
        self._comparisons += comparisons
        return self._comparisons > _MAX_COMPARISONS

    @cached_property
    def _word_list(self) -> list[str]:
        return _WORD.findall(_fold_case_and_accents(self._text))

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(self._word_list)

    @cached_property
    def _word_pairs(self) -> frozenset[str]:
        return frozenset(map("".join, pairwise(self._word_list)))

    @cached_property
    def _words_by_letter(self) -> defaultdict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for word in self._words:
            found[word[0]].append(word)
        return found

    def _sounds(self, first: str) -> list[str]:
        """Return the sounds that begin with a letter, of words and of two words that may be one name."""
        if first not in self._sounds_by_letter:
            letters = {letter for letter in _LETTERS if letter.translate(_SOUNDS) == first} | {first}
            letters |= {"p"} if first == "f" else set()  # of "ph"
            words = [word for word in chain(self._words, self._word_pairs) if word[0] in letters]
            sounds = {sound for sound in _sound("\n".join(words)).split("\n") if sound[:1] == first}
            self._sounds_by_letter[first] = [sound for sound in sounds if len(sound) >= _MIN_NAME_LETTERS]
        return self._sounds_by_letter[first]

    @cached_property
    def _initials(self) -> str:
        return "".join(word[0] for word in self._word_list if word)


def fold(word: str) -> str:
    """Return the letters of a word without case, accents and punctuation."""
    folded = _fold_case_and_accents(word)
    return folded if folded.isalpha() else "".join(letter for letter in folded if letter.isalnum())


def _fold_case_and_accents(text: str) -> str:
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))


def _sound(words: str) -> str:
    """Return folded words, one a line, with one letter for each sound: "Stephen" and "Steven" are closer so."""
    sounds = words.replace("ph", "f").replace("ck", "k").replace("th", "t").translate(_SOUNDS)
    return _DOUBLED.sub(r"\1", sounds)


def _is_subsequence(letters: str, word: str) -> bool:
    remaining = iter(word)
    return all(letter in remaining for letter in letters)
