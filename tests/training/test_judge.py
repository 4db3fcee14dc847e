from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import record
from training.judge import Judge, JudgeError

GRADE = '{"overall": 5, "adherence": 7, "hallucination": 0}'


class Client:
    """An OpenAI client whose answers are these, in turn."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[dict[str, Any]] = []
        self.chat = self.completions = self

    def create(self, **asked: Any) -> Any:
        self.asked.append(asked)
        message = type("Message", (), {"content": self.texts.pop(0)})
        return type("Answer", (), {"choices": [type("Choice", (), {"message": message})]})


def test_the_judge_reads_transcript_request_and_summary(tmp_path: Path) -> None:
    client = Client(GRADE)
    row = record(1, tmp_path, transcript="Anna here.")
    (verdict,) = Judge(client, "big", 1).grade([row], ["Anna called."])
    assert verdict.model_dump() == {"overall": 5, "adherence": 7, "hallucination": 0}
    (asked,) = client.asked
    assert asked["model"] == "big"
    assert asked["temperature"] == 0
    for text in ("Anna here.", "Anna called.", row.query):
        assert text in asked["messages"][1]["content"]
    assert asked["response_format"]["json_schema"]["schema"]["properties"].keys() == verdict.model_dump().keys()


@pytest.mark.parametrize("bad", ["good summary!", '{"overall": 9, "adherence": 7, "hallucination": 0}', ""])
def test_a_verdict_that_cannot_be_read_is_asked_for_once_more(tmp_path: Path, bad: str) -> None:
    row = record(1, tmp_path)
    client = Client(bad, GRADE)
    assert Judge(client, "big", 1).grade([row], ["x"])[0].overall == 5
    assert [asked["temperature"] > 0 for asked in client.asked] == [False, True], "greedily it would say the same"
    with pytest.raises(JudgeError, match="clip-1: big gave no verdict in 2 attempts"):
        Judge(Client(bad, bad), "big", 1).grade([row], ["x"])


def grades(first: int, second: int) -> str:
    return f'{{"first": {first}, "second": {second}}}'


@pytest.mark.parametrize(
    ("there", "back", "expected"),
    [
        ((6, 3), (3, 6), 3.0),
        ((6, 3), (4, 5), 2.0),
        ((2, 3), (7, 1), -3.5),
        ((7, 1), (7, 1), "flip"),
        ((3, 4), (3, 4), "flip"),
        ((5, 5), (5, 5), 0.0),
        ((7, 1), (4, 4), 0.0),
    ],
)
def test_two_summaries_are_compared_in_both_orders(
    tmp_path: Path, there: tuple[int, int], back: tuple[int, int], expected: float | str
) -> None:
    client, row = Client(grades(*there), grades(*back)), record(1, tmp_path)
    assert Judge(client, "big", 1).prefer([(row, "One called.", "Other called.")]) == [expected]
    first, second = (asked["messages"][1]["content"] for asked in client.asked)
    assert first.index("One called.") < first.index("Other called.")
    assert second.index("Other called.") < second.index("One called.")
    assert row.transcript in first
    assert row.query in first


def test_a_comparison_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    row = record(1, tmp_path)
    good = [grades(5, 1), grades(1, 5)]
    judge = Judge(Client("x", "y", *good), "big", 1)
    assert judge.prefer([(row, "a", "b"), (row, "c", "d")]) == ["no verdict", 4.0]
