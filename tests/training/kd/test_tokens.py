from typing import Any

import pytest

from training.kd.tokens import same_tokens, shared_range


class Tokens:
    """A tokenizer as far as it matters here."""

    def __init__(self, *tokens: str, end: int = 0) -> None:
        self.tokens, self.eos_token_id = tokens, end

    def get_vocab(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens) if token}


STUDENT = Tokens("<end>", "a", "b", "<audio>")


@pytest.mark.parametrize(
    ("teacher", "shared"),
    [(STUDENT, 4), (Tokens("<end>", "a", "b"), 3), (Tokens("<end>", "a", "b", "", "pad", "pad2"), 3)],
)
def test_what_only_one_has_is_no_difference(teacher: Any, shared: int) -> None:
    assert same_tokens(STUDENT, teacher) is None
    assert same_tokens(teacher, STUDENT) is None
    assert shared_range(STUDENT, teacher) == shared


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (Tokens("<end>", "b", "a"), "id 1 is 'a' to the student and 'b' to the teacher"),
        (Tokens("<end>", "a", "b", "<image>"), "id 3 is '<audio>'"),
        (Tokens("<end>", "a", "b", end=2), "a turn ends with id 0 for the student and 2 for the teacher"),
    ],
)
def test_a_difference_is_named(teacher: Any, said: str) -> None:
    assert said in str(same_tokens(STUDENT, teacher))
