"""Whether two tokenizers mean the same by their token ids.

Only then can a teacher's distribution over tokens teach a student. If they do not, the teacher's texts still can.

All ordinary tokens have to be the same. Special tokens need not be: relatives such as Qwen2.5, Qwen2-Audio and
Qwen2.5-Omni share their words and number their control tokens differently. An id that is a special token of both, but
not the same one, is *excluded*: the student may not sample it, and its probability is removed from both distributions
before they are compared.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SharedTokens:
    """The ids that mean the same to both tokenizers: 0 to `size` - 1 without `excluded_ids`, which are in order."""

    size: int
    excluded_ids: tuple[int, ...] = ()


def token_difference(student: Any, teacher: Any) -> str | None:
    """Return the first difference between the tokenizers, as a sentence, or None if there is none: if each ordinary id
    that both have stands for the same token, and both end a turn with the same token.

    Ids that only one of them has (a placeholder for audio, padding up to a round size) are no difference, and neither
    are ids that stand for different special tokens.
    """
    ours, theirs = _tokens_by_id(student), _tokens_by_id(teacher)
    special = special_ids(student) & special_ids(teacher)
    for index in sorted(ours.keys() & theirs.keys()):
        if ours[index] != theirs[index] and index not in special:
            return f"id {index} is {ours[index]!r} to the student and {theirs[index]!r} to the teacher"
    end, other = student.eos_token_id, teacher.eos_token_id
    if end != other:
        return f"a turn ends with id {end} for the student and {other} for the teacher"
    if ours.get(end) != theirs.get(end):
        return f"a turn ends with {ours.get(end)!r} for the student and {theirs.get(end)!r} for the teacher"
    return None


def shared_tokens(student: Any, teacher: Any) -> SharedTokens:
    """Return the ids that both have, without a gap from 0 on, and which of them mean different tokens. Distributions
    are cut off after these ids before they are compared.
    """
    ours, theirs = _tokens_by_id(student), _tokens_by_id(teacher)
    both = ours.keys() & theirs.keys()
    size = next(i for i in range(len(both) + 1) if i not in both)
    return SharedTokens(size, tuple(i for i in range(size) if ours[i] != theirs[i]))


def special_ids(tokenizer: Any) -> set[int]:
    """Return the ids of control tokens, placeholders, and all tokens that were added to the vocabulary."""
    found: set[int] = {i for i in getattr(tokenizer, "all_special_ids", ()) if i is not None}
    added = getattr(tokenizer, "added_tokens_decoder", None)
    if isinstance(added, Mapping):  # Mistral's tokenizer has a method of that name, which raises
        found |= set(added)
    inner = getattr(getattr(tokenizer, "tokenizer", None), "instruct_tokenizer", None)
    if inner is not None:  # Mistral's: its first ids are special, even unused ones
        found |= set(range(int(getattr(inner.tokenizer, "num_special_tokens", 0))))
    return found


def forbidden_ids(placeholders: Collection[int], shared: SharedTokens) -> list[int]:
    """Return the ids that the student may not sample, in order."""
    return sorted({*placeholders, *shared.excluded_ids})


def _tokens_by_id(tokenizer: Any) -> dict[int, str]:
    """Return the token of every id. Mistral's vocabulary has one name for all single bytes and lists one of them, so
    the missing ids are looked up one by one.
    """
    found = {index: token for token, index in tokenizer.get_vocab().items()}
    for index in range(len(tokenizer)):
        if index not in found and (token := tokenizer.convert_ids_to_tokens(index)) is not None:
            found[index] = token
    return found
