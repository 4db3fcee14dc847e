from pathlib import Path
from typing import Any

import pytest

from tests.training.llm.fake_llm_server import standing_in
from tests.training.tiny_checkpoints import record
from training.llm.judge import MAX_UNANSWERED, Judge, JudgeUnavailable, open_judge
from training.llm.verdict_cache import VerdictCache

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
    deaf = Judge(Client(bad, bad), "big", 1)
    assert deaf.grade([row], ["x"]) == [None]
    assert "clip-1: big gave no verdict in 2 attempts" in deaf.failures[0]


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
    assert Judge(client, "big", 1).compare_pairs([(row, "One called.", "Other called.")]) == [expected]
    first, second = (asked["messages"][1]["content"] for asked in client.asked)
    assert first.index("One called.") < first.index("Other called.")
    assert second.index("Other called.") < second.index("One called.")
    assert row.transcript in first
    assert row.query in first


def test_a_comparison_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    row = record(1, tmp_path)
    good = [grades(5, 1), grades(1, 5)]
    judge = Judge(Client("x", "y", *good), "big", 1)
    assert judge.compare_pairs([(row, "a", "b"), (row, "c", "d")]) == ["no verdict", 4.0]


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_an_error_costs_its_row_alone_and_names_it(
    tmp_path: Path, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [record(i, tmp_path) for i in range(3)]
    with standing_in(lambda asked: GRADE) as model:
        judge = open_judge(f"{model.url}#big")
        judge.concurrency = 1
        assert judge.grade(rows[:1], ["a"])[0] is not None
        model.failures = [status]
        found = judge.grade(rows[1:], ["b", "c"])
    assert [verdict is None for verdict in found] == [True, False]
    assert "clip-1: big did not answer: " in capsys.readouterr().out
    assert len(judge.failures) == 1


@pytest.mark.parametrize(
    "answer", [None, object(), type("Answer", (), {"choices": []}), type("Answer", (), {"choices": None})]
)
def test_an_answer_of_another_form_costs_its_row_alone(tmp_path: Path, answer: Any) -> None:
    client = Client()
    client.create = lambda **asked: answer  # type: ignore[method-assign]
    judge = Judge(client, "big", 1)
    assert judge.compare_pairs([(record(1, tmp_path), "a", "b")]) == ["no verdict"]
    assert "clip-1" in judge.failures[0]


def test_a_judge_that_hangs_costs_its_row_alone(tmp_path: Path) -> None:
    import openai

    def hang(**asked: Any) -> Any:
        raise openai.APITimeoutError(request=None)  # type: ignore[arg-type]

    client = Client()
    client.create = hang  # type: ignore[method-assign]
    assert Judge(client, "big", 1).grade([record(1, tmp_path)], ["a"]) == [None]


def test_a_judge_that_never_answers_is_not_asked_about_everything(tmp_path: Path) -> None:
    judge = Judge(Client(*["x"] * 500), "big", 1)
    with pytest.raises(JudgeUnavailable, match=f"none of the first {MAX_UNANSWERED} questions"):
        judge.grade([record(i, tmp_path) for i in range(100)], ["a"] * 100)


def test_a_rerun_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    rows, file = [record(i, tmp_path) for i in range(3)], tmp_path / "kept.jsonl"
    first = Judge(Client(GRADE, "x", "y", GRADE), "big", 1, verdicts=VerdictCache(file))
    assert [verdict is None for verdict in first.grade(rows, ["a", "b", "c"])] == [False, True, False]
    with file.open("a") as torn:
        torn.write('{"key": "half a li')
    again = Client(GRADE.replace("5", "3"))
    found = Judge(again, "big", 1, verdicts=VerdictCache(file)).grade(rows, ["a", "b", "c"])
    assert [verdict and verdict.overall for verdict in found] == [5, 3, 5]
    assert len(again.asked) == 1
    other = Client(*[GRADE] * 3)
    Judge(other, "another", 1, verdicts=VerdictCache(file)).grade(rows, ["a", "b", "c"])
    assert len(other.asked) == 3, "another judge's verdicts are its own"
    last = VerdictCache(file)
    assert Judge(Client(), "big", 1, verdicts=last).grade(rows, ["a", "b", "c"]) == found, "the torn line hid nothing"
