import argparse
import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engine.scripted import ScriptedEngine
from model_repo.manifest import Manifest
from tests.app.running_service import serving
from tests.model_repo.fakes import manifest
from tests.recordings import speech_wav
from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.record import Record
from training.eval import evaluate
from training.eval.systems import System
from training.facts.coverage import Fact

TRANSCRIPT = "Please send the report to Anna by Friday afternoon."
FACTS = [Fact("who", "Anna", core=True), Fact("when", "Friday", core=True), Fact("what", "the report")]


def spoken(folder: Path, styles: list[dict[str, Any]]) -> list[Record]:
    """Records of one real spoken clip, asked for in several styles."""
    (folder / "clip.wav").write_bytes(speech_wav())
    return [
        record(
            i, folder, transcript=TRANSCRIPT, facts=FACTS, style=style, audio=str(folder / "clip.wav"), duration_s=6.0
        )
        for i, style in enumerate(styles)
    ]


async def test_a_running_service_is_asked_and_its_summaries_counted(tmp_path: Path) -> None:
    styles = [{"style": "tldr"}, {"style": "bullets", "length": 80}, {"style": "paragraph", "focus": "Anna"}]
    engine = ScriptedEngine(["Anna ", "gets ", "the ", "report."], prefill_s=0.5)
    async with serving(engine, real_audio=True) as site:
        url = f"http://127.0.0.1:{site.port}"
        found = await asyncio.to_thread(evaluate.evaluate_service, url, spoken(tmp_path, styles), [1, 3])
    assert (found["model"], found["kind"]) == ("test-model@3", "audio-llm")
    assert (found["figures"]["recordings"], found["figures"]["summaries"]) == (1, 3)
    assert found["figures"]["core_coverage"] == 0.5
    assert found["figures"]["coverage"] == round(2 / 3, 4)
    assert [r["summary"] for r in found["rows"]] == ["Anna gets the report."] * 3
    assert [r["id"] for r in found["rows"]] == ["clip-0", "clip-1", "clip-2"]
    assert {n: run["same_as_alone"] for n, run in found["runs"].items()} == {"1": 3, "3": 3}
    assert found["runs"]["3"]["rtfx"] > found["runs"]["1"]["rtfx"] > 0
    asked = [request.instruction for request in engine.requests]
    assert sum("Use about 80 words." in text for text in asked) == 2
    assert sum("Focus on Anna." in text for text in asked) == 2


async def test_declined_recordings_without_speech_are_counted_and_not_scored(tmp_path: Path) -> None:
    hiss = record(8, tmp_path, noise(2.0), transcript="", facts=[], no_speech=True, style={"style": "tldr"})
    spoken_as_quiet = replace(
        spoken(tmp_path, [{"style": "tldr"}])[0], id="clip-9", transcript="", facts=[], no_speech=True
    )
    records = [*spoken(tmp_path, [{"style": "tldr"}]), hiss, spoken_as_quiet]
    async with serving(ScriptedEngine(["Anna."]), real_audio=True) as site:
        found = await asyncio.to_thread(evaluate.evaluate_service, f"http://127.0.0.1:{site.port}", records, [1])
    assert found["figures"]["summaries"] == 1
    assert list(found["by"]["voices"]) == ["person"]
    assert (found["no_speech"]["recordings"], found["no_speech"]["declined"]) == (2, 0.5)
    reasons = {row["id"]: (row["voice"], row["finish_reason"]) for row in found["rows"]}
    assert reasons == {"clip-0": ("person", "stop"), "clip-8": ("none", "no_speech"), "clip-9": ("none", "stop")}


def test_an_empty_answer_of_a_system_declines_a_recording_without_speech(tmp_path: Path) -> None:
    quiet = [record(n, tmp_path, transcript="", facts=[], no_speech=True) for n in (1, 2)]
    answers = {"clip-0": "Anna.", "clip-1": " ", "clip-2": "Somebody calls."}
    system = System("some", "hears", lambda records: [answers[one.id] for one in records])
    found = evaluate.evaluate_system(system, [record(0, tmp_path), *quiet], None, None)
    assert (found["figures"]["summaries"], found["figures"]["core_coverage"]) == (1, 1)
    assert (found["no_speech"]["recordings"], found["no_speech"]["declined"]) == (2, 0.5)
    assert "no_speech" not in evaluate.evaluate_system(system, [record(0, tmp_path)], None, None)


async def test_no_more_are_open_than_allowed_and_other_answers_are_noticed(tmp_path: Path) -> None:
    class Busy(ScriptedEngine):
        """Says something else when it is not alone, as an engine does whose batches change its arithmetic."""

        async def generate(self, request: Any) -> Any:
            self.pieces = ("Anna.",) if self.running_requests == 0 else ("Friday.",)
            async for event in super().generate(request):
                yield event

    engine = Busy(prefill_s=0.2)
    async with serving(engine, real_audio=True) as site:
        url = f"http://127.0.0.1:{site.port}"
        found = await asyncio.to_thread(
            evaluate.evaluate_service, url, spoken(tmp_path, [{"style": "tldr"}] * 4), [1, 2]
        )
    assert found["runs"]["1"]["same_as_alone"] == 4
    assert found["runs"]["2"]["same_as_alone"] < 4
    assert engine.max_running == 2


async def test_a_refusal_names_the_record(tmp_path: Path) -> None:
    async with serving() as site:
        url = f"http://127.0.0.1:{site.port}"
        with pytest.raises(RuntimeError, match=r"clip-0: 400 .*style"):
            await asyncio.to_thread(evaluate.evaluate_service, url, spoken(tmp_path, [{"style": "limerick"}]), [1])


def test_the_command_writes_the_raw_result_and_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest("tiny", "2").write(tmp_path / "registry" / "tiny" / "2")
    rows = [replace(r, audio="clip.wav") for r in spoken(tmp_path, [{"style": "tldr"}] * 2)]
    (tmp_path / "records.jsonl").write_text("".join(r.to_json() + "\n" for r in rows))

    async def answer(url: str, records: list[Record], concurrency: int) -> list[dict[str, Any]]:
        return [{"summary": "Anna.", "model": "tiny@2", "kind": "audio-llm", "audio_seconds": 6.0} for _ in records]

    monkeypatch.setattr(evaluate, "post_records", answer)
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    out = tmp_path / "results" / "tiny.json"
    words = f"--records {tmp_path}/records.jsonl --out {out} --limit 1 --write-figures --root {tmp_path}/registry"
    assert evaluate.run(parser.parse_args(words.split())) == 0
    raw = json.loads(out.read_text())
    assert raw["figures"]["summaries"] == len(raw["rows"]) == 1
    figures = Manifest.read(tmp_path / "registry" / "tiny" / "2").figures
    assert figures is not None
    assert figures.score == raw["figures"]["facts_less_inventions"] == 1
    assert figures.set == raw["set"]
    assert figures.set.startswith("1 recordings, ")
    assert (figures.command, figures.result) == (raw["command"], str(out))
    assert '"core_coverage": 0.5' in capsys.readouterr().out


def test_figures_without_a_score_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest("tiny", "2").write(tmp_path / "registry" / "tiny" / "2")
    (tmp_path / "records.jsonl").write_text(record(1, tmp_path, noise(0.2), facts=[]).to_json() + "\n")

    async def answer(url: str, records: list[Record], concurrency: int) -> list[dict[str, Any]]:
        return [{"summary": "Anna.", "model": "tiny@2", "kind": "audio-llm", "audio_seconds": 6.0}]

    monkeypatch.setattr(evaluate, "post_records", answer)
    where = f"--records {tmp_path}/records.jsonl --out {tmp_path}/x.json --root {tmp_path}/registry"
    with pytest.raises(ValueError, match="no record has facts"):
        main(f"evaluate {where} --write-figures".split())
    assert Manifest.read(tmp_path / "registry" / "tiny" / "2").figures is None
