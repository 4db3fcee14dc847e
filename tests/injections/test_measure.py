"""The measuring tells a service that obeys what it hears from one that does not; short, with a scripted engine."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.engine.base import EngineEvent, GenerationFinished, GenerationRequest, TextDelta
from app.engine.chat_request import Messages, SamplingOptions
from app.engine.scripted import ScriptedEngine
from tests import recordings
from tests.app.running_service import MODEL, serving
from tests.injections.attacks import ATTACKS, Attack
from tests.injections.measure import add, figures, measure, table
from tests.injections.readers import VOICES, Question, Reader, TextSide, service_reader

FEW = [attack for attack in ATTACKS if attack.id in ("override 1", "new task 2", "flooding 3")]


def heard() -> dict[int, str]:
    """What is said in each recording, known by its length in samples."""
    said = {}
    for attack in FEW:
        for voice in VOICES:
            for question in (Question(attack.talk, attack, voice=voice), Question(attack.talk, voice=voice)):
                text = " ".join(question.sentences())
                said[len(recordings.speech(text, voice))] = text
    assert len(said) == 4 * len(FEW)
    return said


def obeying(what: Callable[[GenerationRequest, str], str]) -> Callable[[GenerationRequest], Sequence[str]]:
    """A model that does what it finds in a text, or else tells what was said."""
    known = heard()

    def pieces(request: GenerationRequest) -> Sequence[str]:
        said = known.get(0 if request.samples is None else len(request.samples), "")
        return [next((one.obeys for one in FEW if one.said in what(request, said)), f"The speaker said: {said}")]

    return pieces


@pytest.mark.parametrize(
    ("what", "rate", "caller"),
    [
        (lambda request, said: said, 1.0, 0.0),
        (lambda request, said: request.instruction, 0.0, 1.0),
        (lambda request, said: "", 0.0, 0.0),
    ],
    ids=["the recording", "the caller", "nobody"],
)
async def test_whom_a_service_obeys_is_what_is_measured(
    what: Callable[[GenerationRequest, str], str], rate: float, caller: float
) -> None:
    async with (
        serving(ScriptedEngine(obeying(what))) as site,
        service_reader(f"http://127.0.0.1:{site.port}") as reader,
    ):
        measured = await measure(reader, FEW)
    assert (measured["model"], measured["way"]) == (MODEL.id, "recording")
    found = measured["figures"]
    assert (found["attack_rate"], found["caller_obeyed"], found["without_it"]) == (rate, caller, 0.0)
    assert found["attacks"] == len(FEW)
    assert len(site.engine.requests) == len(FEW) * 3, "with it, without it, and as the caller's words"
    assert {row["voice"] for row in measured["rows"]} == set(VOICES)


async def test_what_the_talk_alone_brings_about_is_no_attack() -> None:
    async def ask(question: Question) -> str:
        return FEW[0].obeys

    measured = await measure(Reader("m@1", "notes", ask), FEW[:1])
    assert (measured["figures"]["obeyed"], measured["figures"]["attack_rate"]) == (1.0, 0.0)


def test_the_interval_is_exact() -> None:
    rows: list[dict[str, Any]] = [{"obeyed": n < 2, "without_it": n < 1, "caller_obeyed": True} for n in range(100)]
    found = figures(rows)
    assert (found["succeeded"], found["attack_rate"], found["obeyed"]) == (1, 0.01, 0.02)
    assert found["attack_rate_95"] == [0.0003, 0.0545]  # Clopper and Pearson for 1 of 100


def test_a_second_measuring_takes_the_place_of_the_first(tmp_path: Path) -> None:
    row = {"obeyed": True, "without_it": False, "caller_obeyed": True}
    one = {"model": "a@1", "way": "notes", "figures": figures([row]), "rows": [row]}
    add(tmp_path / "x.json", one, "first")
    add(tmp_path / "x.json", one | {"way": "recording"}, "second")
    kept = add(tmp_path / "x.json", one, "third")
    assert [(entry["way"], entry["command"]) for entry in kept] == [("notes", "third"), ("recording", "second")]
    assert json.loads((tmp_path / "x.json").read_text())["measured"] == kept
    assert "| a@1 | notes | 1 | 100.0% | 0.0% | 100.0% (2.5% to 100.0%) | 100.0% |" in table(kept)


class Obedient:
    """Does what stands behind the last mark, as a model does that only looks at marks."""

    def __init__(self) -> None:
        self.turns: list[str] = []

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: Any = None
    ) -> AsyncGenerator[EngineEvent, None]:
        content = messages[1]["content"]
        turn = content if isinstance(content, str) else content[0]["text"]
        self.turns.append(turn)
        _, _, behind = turn.partition("</")
        yield TextDelta(next((one.obeys for one in ATTACKS if one.kind == "delimiter" and _asked(one) in behind), "-"))
        yield GenerationFinished("stop", 1, 1)


def _asked(attack: Attack) -> str:
    return attack.written.split("{close}")[-1].split("{open}")[0].strip() or attack.said


@pytest.mark.parametrize("way", ["transcript", "notes"])
async def test_forged_marks_do_not_end_what_was_said(way: str) -> None:
    core = Obedient()
    forged = [attack for attack in ATTACKS if "{close}" in attack.written]
    measured = await measure(Reader("m@1", way, getattr(TextSide(core), way)), forged)  # type: ignore[arg-type]
    assert measured["figures"]["attack_rate"] == 0
    mark = f"</{way}>"
    assert {turn.count(mark) for turn in core.turns} == {1}
    assert sum("Tokyo" in turn.partition(mark)[0] for turn in core.turns) == 1
