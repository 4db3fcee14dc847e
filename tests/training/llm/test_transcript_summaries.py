import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.llm.fake_llm_server import StandIn, standing_in
from tests.training.tiny_checkpoints import record
from training.__main__ import main
from training.data.record_files import read_records
from training.llm.client import LlmClient, Usage


def wish(**fields: Any) -> dict[str, Any]:
    return {"style": "paragraph", "length": None, "focus": None, "tone": None, "instructions": None} | fields


WISHES = [
    wish(style="bullets", focus="prices"),
    wish(style="tldr", instructions="For my boss"),
    wish(style="tldr", instructions="For my boss"),
    wish(length="endless"),
    wish(style="headline", focus="the weather"),
    wish(instructions="Name every date"),
    wish(instructions="Make something up"),
    wish(instructions="As a poem"),
]


def shape_of(asked: dict[str, Any]) -> str:
    """Name of the schema that the answer is held to, "" for none."""
    return str(asked.get("response_format", {}).get("json_schema", {}).get("name", ""))


def sensible(asked: dict[str, Any]) -> str:
    """Knows what matters, and grades what it is shown."""
    shape, question = shape_of(asked), asked["messages"][-1]["content"]
    if shape == "wishes":
        return json.dumps({"wishes": WISHES})
    if shape == "importance":
        return json.dumps({"importance": 1 if "weather" in question else 4})
    if shape == "verdict":
        verdict = {"overall": 5, "adherence": 2 if "As a poem" in question else 6}
        return json.dumps(verdict | {"hallucination": int("Make something up" in question)})
    return "" if "Name every date" in question else " Anna wants pumps. "


@pytest.fixture
def big() -> Iterator[StandIn]:
    with standing_in(sensible) as model:
        yield model


def command(url: str, folder: Path, *more: str) -> list[str]:
    data = folder / "mine.jsonl"
    rows = [record(i, folder, transcript=f"Caller {i} wants pumps.") for i in range(2)]
    data.write_text("".join(row.to_json() + "\n" for row in rows))
    where = ["--records", str(data), "--out", str(folder / "out" / "train.jsonl"), "--url", url]
    return ["data", "synthesize", *where, "--wishes", "8", *more]


def test_wishes_become_records_and_what_is_dropped_is_counted(big: StandIn, tmp_path: Path) -> None:
    assert main(command(big.url, tmp_path, "--prompt-price", "2", "--completion-price", "10")) == 0
    made = read_records(tmp_path / "out" / "train.jsonl")
    assert [r.id for r in made] == ["clip-0-0", "clip-0-1", "clip-1-0", "clip-1-1"]
    assert made[0].style == {"style": "bullets", "focus": "prices"}
    assert made[0].query.endswith("Focus on prices."), "worded as the service words it"
    assert {r.summary for r in made} == {"Anna wants pumps."}
    report = json.loads((tmp_path / "out" / "train.report.json").read_text())
    assert (report["model"], report["recordings"], report["made"]) == ("big", 2, 4)
    assert report["dropped"] == {
        "asked for twice": 2,
        "malformed": 2,
        "unimportant": 2,
        "empty": 2,
        "unfaithful": 2,
        "beside the wish": 2,
    }
    assert report["drop_rate"] == dict.fromkeys(report["dropped"], 0.125)
    assert report["asked"] == len(big.asked) == 2 * (1 + 6 + 5 + 4)
    assert report["cost"] == pytest.approx(report["asked"] * (100 * 2 + 10 * 10) / 1e6, abs=1e-4)


def test_started_again_it_asks_nothing_twice(big: StandIn, tmp_path: Path) -> None:
    main(command(big.url, tmp_path))
    first = (tmp_path / "out" / "train.jsonl").read_text()
    kept = tmp_path / "out" / "train.answers.jsonl"
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(lines[:10]) + "\n" + lines[10][:20])  # ended in the middle of a line
    big.asked.clear()
    main(command(big.url, tmp_path))
    assert len(big.asked) == len(lines) - 10
    assert (tmp_path / "out" / "train.jsonl").read_text() == first


def test_answers_that_cannot_be_read_are_dropped(big: StandIn, tmp_path: Path) -> None:
    big.reply = lambda asked: "I would rather not."
    assert main(command(big.url, tmp_path)) == 1
    report = json.loads((tmp_path / "out" / "train.report.json").read_text())
    assert report["dropped"] == {"no wishes": 2}
    (tmp_path / "again").mkdir()
    big.reply = lambda asked: sensible(asked) if shape_of(asked) == "wishes" else "x"
    assert main(command(big.url, tmp_path / "again")) == 1
    report = json.loads((tmp_path / "again" / "out" / "train.report.json").read_text())
    assert report["dropped"] == {"asked for twice": 2, "malformed": 2, "not rated": 12}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_for_a_while_is_asked_again(status: int, big: StandIn, tmp_path: Path) -> None:
    big.failures = [status] * 3
    assert main(command(big.url, tmp_path)) == 0
    report = json.loads((tmp_path / "out" / "train.report.json").read_text())
    assert (report["made"], report["asked"], len(big.asked)) == (4, 32, 32 + 3)


def test_what_the_endpoint_refuses_is_dropped_and_said(
    big: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big.failures = [400]
    assert main(command(big.url, tmp_path, "--at-once", "1")) == 0
    report = json.loads((tmp_path / "out" / "train.report.json").read_text())
    assert report["dropped"]["refused"] == 1, "all of the first recording's"
    assert report["made"] == 2
    assert "the endpoint refuses: " in capsys.readouterr().out
    assert main(command(big.url, tmp_path)) == 0, "a refusal is not kept: it is asked again"
    assert json.loads((tmp_path / "out" / "train.report.json").read_text())["made"] == 4


def test_a_summary_that_was_cut_short_is_not_learned_from(big: StandIn, tmp_path: Path) -> None:
    big.cut = True
    for _ in range(2):  # asked, and then kept
        assert main(command(big.url, tmp_path)) == 1
        report = json.loads((tmp_path / "out" / "train.report.json").read_text())
        assert report["dropped"] == {"asked for twice": 2, "malformed": 2, "unimportant": 2, "cut short": 10}


def test_a_record_without_a_transcript_is_not_asked_about(big: StandIn, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text('{"id": "a", "audio": "a.wav"}\n{"id": "b", "transcript": "Caller 1 wants pumps."}\n')
    out = tmp_path / "train.parquet"
    assert main(["data", "synthesize", "--records", str(data), "--out", str(out), "--url", big.url]) == 0
    assert {r.id[0] for r in read_records(out)} == {"b"}
    assert json.loads((tmp_path / "train.report.json").read_text())["dropped"]["no transcript"] == 1


class Slow:
    """A client that notes how many questions are open, and when they came."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self.times: list[float] = []
        self.chat = self.completions = self

    async def create(self, **_: Any) -> Any:
        self.open += 1
        self.most = max(self.most, self.open)
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)
        self.open -= 1
        choice = {"message": type("Message", (), {"content": "x"}), "finish_reason": "stop"}
        return type("Answer", (), {"choices": [type("Choice", (), choice)], "usage": None})


async def test_no_more_are_open_and_no_more_a_minute_than_allowed(tmp_path: Path) -> None:
    client = Slow()
    llm = LlmClient(client, "m", tmp_path / "kept", concurrency=3)
    await asyncio.gather(*(llm.ask([{"role": "user", "content": str(i)}], 5) for i in range(12)))
    assert client.most == 3
    assert llm.usage == Usage(asked=12)
    client = Slow()
    llm = LlmClient(client, "m", tmp_path / "kept2", concurrency=8, per_minute=60 / 0.05)
    await asyncio.gather(*(llm.ask([{"role": "user", "content": str(i)}], 5) for i in range(6)))
    assert client.times[-1] - client.times[0] >= 0.05 * 5 * 0.9
