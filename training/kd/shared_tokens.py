"""Do two tokenizers mean the same by their token ids?

A teacher's distribution over its tokens can teach a student only if they do. If not, its texts still can.

Ordinary tokens must all be the same. Special tokens need not: relatives such as Qwen2.5, Qwen2-Audio and Qwen2.5-Omni
share their words and number their control tokens differently. An id that is a special token to both and another one to
each is *excluded*: the student may not sample it, and its probability is taken out of both distributions before they
are compared.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SharedTokens:
    """Ids that mean the same to both: those from 0 to `size`, without the `excluded` ones (in order)."""

    size: int
    excluded_ids: tuple[int, ...] = ()


def token_difference(student: Any, teacher: Any) -> str | None:
    """None if every ordinary id that both tokenizers have stands for the same token, and both end a turn alike; else
    the first difference, in words.

    Ids that only one of them has (a placeholder for audio, padding up to a round size) are no difference, nor are ids
    that stand for different special tokens.
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
    """The ids that both have, counted from 0 (what is beyond is sliced off before they are compared), and among them
    those that mean something else to each.
    """
    ours, theirs = _tokens_by_id(student), _tokens_by_id(teacher)
    both = ours.keys() & theirs.keys()
    size = next(i for i in range(len(both) + 1) if i not in both)
    return SharedTokens(size, tuple(i for i in range(size) if ours[i] != theirs[i]))


def special_ids(tokenizer: Any) -> set[int]:
    """Ids of tokens that stand for no text: control tokens, placeholders, and whatever was added to the vocabulary."""
    found: set[int] = {i for i in getattr(tokenizer, "all_special_ids", ()) if i is not None}
    added = getattr(tokenizer, "added_tokens_decoder", None)
    if isinstance(added, Mapping):  # Mistral's has a method of that name, which raises
        found |= set(added)
    inner = getattr(getattr(tokenizer, "tokenizer", None), "instruct_tokenizer", None)
    if inner is not None:  # Mistral's: the first ids are special, whether they have a use or not
        found |= set(range(int(getattr(inner.tokenizer, "num_special_tokens", 0))))
    return found


def forbidden_ids(placeholders: Collection[int], shared: SharedTokens) -> list[int]:
    """Ids that a student may not sample."""
    return sorted({*placeholders, *shared.excluded_ids})


def _tokens_by_id(tokenizer: Any) -> dict[int, str]:
    """Every id's token. Mistral's vocabulary names all lone bytes alike and so lists one of them: the rest is asked for
    one by one.
    """
    found = {index: token for token, index in tokenizer.get_vocab().items()}
    for index in range(len(tokenizer)):
        if index not in found and (token := tokenizer.convert_ids_to_tokens(index)) is not None:
            found[index] = token
    return found
