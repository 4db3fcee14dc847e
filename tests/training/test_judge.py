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
    assert Judge(Client(bad, GRADE), "big", 1).grade([row], ["x"])[0].overall == 5
    with pytest.raises(JudgeError, match="clip-1: big gave no verdict in 2 attempts"):
        Judge(Client(bad, bad), "big", 1).grade([row], ["x"])
