from typing import Any

import pytest

from training.kd.shared_tokens import SharedTokens, shared_tokens, token_difference


class Tokens:
    """A tokenizer as far as it matters here."""

    def __init__(self, *tokens: str, end: int = 0) -> None:
        self.tokens, self.eos_token_id = tokens, end

    def get_vocab(self) -> dict[str, int]:
        return {token: index for index, token in reversed([*enumerate(self.tokens)]) if token}

    def __len__(self) -> int:
        return len(self.tokens)

    def convert_ids_to_tokens(self, index: int) -> str | None:
        return self.tokens[index] or None


STUDENT = Tokens("<end>", "a", "b", "<audio>")


@pytest.mark.parametrize(
    ("teacher", "shared"),
    [(STUDENT, 4), (Tokens("<end>", "a", "b"), 3), (Tokens("<end>", "a", "b", "", "pad", "pad2"), 3)],
)
def test_what_only_one_has_is_no_difference(teacher: Any, shared: int) -> None:
    assert token_difference(STUDENT, teacher) is None
    assert token_difference(teacher, STUDENT) is None
    assert shared_tokens(STUDENT, teacher) == SharedTokens(shared)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (Tokens("<end>", "b", "a"), "id 1 is 'a' to the student and 'b' to the teacher"),
        (Tokens("<end>", "a", "b", "<image>"), "id 3 is '<audio>'"),
        (Tokens("<end>", "a", "b", end=2), "a turn ends with id 0 for the student and 2 for the teacher"),
    ],
)
def test_a_difference_is_named(teacher: Any, said: str) -> None:
    assert said in str(token_difference(STUDENT, teacher))


def test_ids_of_the_same_name_are_ids_all_the_same() -> None:
    mistral = Tokens("<end>", "\ufffd", "\ufffd", "a")
    assert len(mistral.get_vocab()) == 3
    assert token_difference(mistral, mistral) is None
    assert shared_tokens(mistral, mistral) == SharedTokens(4)
    assert "id 2 is" in str(token_difference(mistral, Tokens("<end>", "\ufffd", "b", "a")))
