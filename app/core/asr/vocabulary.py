"""Spells names and terms in a transcript as the caller's vocabulary does, where Whisper heard something in their place.

Whisper takes a vocabulary as a prompt ("hotwords" of faster-whisper), and then writes rare names as they are spelled
there. But it also writes the prompt into silence and noise, and changes other words. A recording is therefore decoded
without the vocabulary first, and that transcript stays. Of the second one, which is decoded with the vocabulary, only
those words are taken that are a term in the place of something of similar length. Where no term was heard, the
transcript is word for word the one without a vocabulary.

Knows nothing about Whisper.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from rapidfuzz.distance import Levenshtein

from app.core.asr.transcript import TranscriptSegment

# faster-whisper takes half of Whisper's 448 tokens for a prompt, and cuts the rest without a word. The answer to a
# window needs tokens too.
MAX_PROMPT_TOKENS = 200
_MAX_LETTER_RATIO = 2.0  # how much longer or shorter a term may be than what was written in its place
_MAX_REPLACED_WORDS = 8


@dataclass(frozen=True)
class _Word:
    """A word of a transcript. key: its letters and digits without case and accents. segment: its segment's index."""

    text: str
    key: str
    segment: int


def fit_terms(terms: Sequence[str], count_tokens: Callable[[str], int]) -> list[str]:
    """Return the first terms that fit Whisper's prompt together. count_tokens: of a text, by Whisper's tokenizer."""
    fitting = list(terms)
    while fitting and count_tokens(prompt_text(fitting)) > MAX_PROMPT_TOKENS:
        fitting.pop()
    return fitting


def prompt_text(terms: Sequence[str]) -> str:
    """Return the terms as Whisper's prompt has them."""
    return ", ".join(terms)


def correct_terms(
    segments: Sequence[TranscriptSegment], prompted: str, terms: Sequence[str]
) -> tuple[TranscriptSegment, ...]:
    """Return the segments with the terms in them where they were heard.

    Times and figures are those of the segments, which were decoded without the vocabulary.

    Args:
        segments: The transcript that was decoded without the vocabulary.
        prompted: The text of the same recording that was decoded with it.
        terms: The vocabulary that Whisper was given.
    """
    plain = [word for number, one in enumerate(segments) for word in _split_words(one.text, number)]
    heard = list(_split_words(prompted, 0))
    found = list(_find_terms([word.key for word in heard], terms))
    in_term = {index for start, end in found for index in range(start, end)}
    if not in_term:
        return tuple(segments)
    leaked = _leaked_words(found, heard, terms)
    texts: list[list[str]] = [[] for _ in segments]
    blocks = list(_align([word.key for word in plain], [word.key for word in heard]))
    for is_equal, old, new in blocks:
        if is_equal:  # the term may have accents or capitals that were not written
            for before, index in zip(plain[old.start : old.stop], new, strict=True):
                texts[before.segment].append(heard[index].text if index in in_term - leaked else before.text)
        elif not in_term.isdisjoint(new) and leaked.isdisjoint(new) and _can_replace(plain, old, heard, new):
            texts[plain[old.start].segment] += [heard[index].text for index in new]
        else:
            for before in plain[old.start : old.stop]:
                texts[before.segment].append(before.text)
    corrected = (replace(one, text=" ".join(words)) for one, words in zip(segments, texts, strict=True))
    return tuple(one for one in corrected if one.text)


def _split_words(text: str, segment: int) -> Iterator[_Word]:
    """Yield the words of a text. A word of punctuation alone belongs to the word before it."""
    waiting: _Word | None = None
    for part in text.split():
        key = _fold(part)
        if not key and waiting is not None:
            waiting = replace(waiting, text=f"{waiting.text} {part}")
            continue
        if waiting is not None:
            yield waiting
        waiting = _Word(part, key, segment)
    if waiting is not None:
        yield waiting


def _fold(word: str) -> str:
    """Return the letters and digits of a word without case and accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", word.casefold()) if letter.isalnum())


def _find_terms(keys: Sequence[str], terms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where terms stand in a text, as (first word, word behind the last), the longest term first at each place.

    A term may have an "s" behind it, as in "Aoife's".
    """
    wanted = sorted({tuple(filter(None, map(_fold, term.split()))) for term in terms} - {()}, key=len, reverse=True)
    start = 0
    while start < len(keys):
        for words in wanted:
            end = start + len(words)
            if tuple(keys[start : end - 1]) == words[:-1] and keys[end - 1 : end] in ([words[-1]], [words[-1] + "s"]):
                yield start, end
                start = end - 1
                break
        start += 1


def _leaked_words(found: Sequence[tuple[int, int]], heard: Sequence[_Word], terms: Sequence[str]) -> set[int]:
    """Return the words where the prompt itself was written: two terms in a row, as they follow in the vocabulary."""
    folded = ["".join(map(_fold, term.split())) for term in terms]
    following = set(pairwise(folded)) | {(one, one) for one in folded}
    leaked: set[int] = set()
    for (start, end), (next_start, next_end) in pairwise(found):
        pair = (
            "".join(word.key for word in heard[start:end]),
            "".join(word.key for word in heard[next_start:next_end]),
        )
        if end == next_start and pair in following:
            leaked |= set(range(start, next_end))
    return leaked


def _align(plain: Sequence[str], heard: Sequence[str]) -> Iterator[tuple[bool, range, range]]:
    """Yield the blocks of two texts in order: whether they are equal there, and the words of each."""
    opcodes = Levenshtein.opcodes(plain, heard)
    for is_equal, group in groupby(opcodes, key=lambda one: one.tag == "equal"):
        parts = list(group)
        yield (
            is_equal,
            range(parts[0].src_start, parts[-1].src_end),
            range(parts[0].dest_start, parts[-1].dest_end),
        )


def _can_replace(plain: Sequence[_Word], old: range, heard: Sequence[_Word], new: range) -> bool:
    """Return whether the words `new`, in which a term stands, were said in the place of the words `old`.

    Something of similar length was written there without the vocabulary, and a word beside it, in the same segment, is
    the same with and without it. Whisper writes terms into silence, where neither is so.
    """
    if not 0 < len(old) <= _MAX_REPLACED_WORDS:
        return False
    before = sum(len(plain[index].key) for index in old)
    after = sum(len(heard[index].key) for index in new)
    if max(before, after) > _MAX_LETTER_RATIO * min(before, after):
        return False
    inside = {plain[index].segment for index in old}
    # Blocks are maximal: the words beside one that differs are equal.
    return any(0 <= index < len(plain) and plain[index].segment in inside for index in (old.start - 1, old.stop))
