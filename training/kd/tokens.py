"""Do two tokenizers mean the same by their token ids?

A teacher's distribution over its tokens can teach a student only if they do. If not, its texts still can.
"""

from typing import Any


def same_tokens(student: Any, teacher: Any) -> str | None:
    """None if every id that both tokenizers have stands for the same token, and both end a turn alike; else the first
    difference, in words.

    Ids that only one of them has (a placeholder for audio, padding up to a round size) are no difference.
    """
    ours, theirs = _tokens(student), _tokens(teacher)
    for index in sorted(ours.keys() & theirs.keys()):
        if ours[index] != theirs[index]:
            return f"id {index} is {ours[index]!r} to the student and {theirs[index]!r} to the teacher"
    if student.eos_token_id != teacher.eos_token_id:
        return f"a turn ends with id {student.eos_token_id} for the student and {teacher.eos_token_id} for the teacher"
    return None


def shared_range(student: Any, teacher: Any) -> int:
    """Number of ids, counted from 0, that both have: what is beyond is sliced off before they are compared."""
    both = _tokens(student).keys() & _tokens(teacher).keys()
    return next(i for i in range(len(both) + 1) if i not in both)


def _tokens(tokenizer: Any) -> dict[int, str]:
    """Every id's token. Mistral's vocabulary names all lone bytes alike and so lists one of them: the rest is asked for
    one by one.
    """
    found = {index: token for token, index in tokenizer.get_vocab().items()}
    for index in range(len(tokenizer)):
        if index not in found and (token := tokenizer.convert_ids_to_tokens(index)) is not None:
            found[index] = token
    return found
