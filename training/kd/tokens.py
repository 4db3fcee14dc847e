"""Do two tokenizers mean the same by their token ids?

A teacher's distribution over its tokens can teach a student only if they do. If not, its texts still can.
"""

from typing import Any


def same_tokens(student: Any, teacher: Any) -> str | None:
    """None if every id that both tokenizers have stands for the same token, and both end a turn alike; else the first
    difference, in words.

    Ids that only one of them has (a placeholder for audio, padding up to a round size) are no difference.
    """
    ours, theirs = ({index: token for token, index in t.get_vocab().items()} for t in (student, teacher))
    for index in sorted(ours.keys() & theirs.keys()):
        if ours[index] != theirs[index]:
            return f"id {index} is {ours[index]!r} to the student and {theirs[index]!r} to the teacher"
    if student.eos_token_id != teacher.eos_token_id:
        return f"a turn ends with id {student.eos_token_id} for the student and {teacher.eos_token_id} for the teacher"
    return None


def shared_range(student: Any, teacher: Any) -> int:
    """Number of ids, counted from 0, that both have: what is beyond is sliced off before they are compared."""
    ours, theirs = (set(t.get_vocab().values()) for t in (student, teacher))
    both = ours & theirs
    return next(i for i in range(len(both) + 1) if i not in both)
