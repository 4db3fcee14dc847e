import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.example_answers import told_by_anna
from tests.training.tiny_checkpoints import noise
from training.__main__ import main
from training.data.record import Record
from training.eval.teacher_gap import INVENTED_TOKENS, OTHER_TOKENS, SUPPORTED_TOKENS, token_kinds
from training.models.checkpoint import open_model
from training.models.collate import AudioCollator

SUMMARY = "Anna wants 12 pumps by Friday, says Klaus's note."
HEARD = "Hello, Anna here. We need 12 pumps on Monday."


def spans(text: str) -> list[tuple[int, int]]:
    """Each word, with the space before it, as one token."""
    out, start = [], 0
    for word in text.split():
        end = text.index(word, start) + len(word)
        out.append((start, end))
        start = end
    return out


def test_names_and_figures_are_told_from_the_rest_and_by_whether_they_were_said() -> None:
    record = Record("clip", transcript=HEARD, summary=f"Hear this: {SUMMARY}")
    found = token_kinds(record, spans(record.summary))
    by_word = dict(zip(record.summary.split(), found, strict=True))
    assert {word for word, kind in by_word.items() if kind == SUPPORTED_TOKENS} == {"12"}
    assert {word for word, kind in by_word.items() if kind == INVENTED_TOKENS} == {"Friday,", "Klaus's"}
    record = replace(record, summary="There is Anna Lee, for pumps.", transcript="Anna Lee wants pumps.")
    assert token_kinds(record, spans(record.summary)) == [
        OTHER_TOKENS,
        OTHER_TOKENS,
        SUPPORTED_TOKENS,
        SUPPORTED_TOKENS,
        OTHER_TOKENS,
        OTHER_TOKENS,
    ]


@pytest.fixture
def told(tmp_path: Path) -> Record:
    return replace(told_by_anna(tmp_path, noise(0.6)), transcript=HEARD, summary=f"Hear this: {SUMMARY}")


def test_the_command_tells_what_either_thinks_of_the_answers(
    audio_folder: Path,
    llama_folder: Path,
    hears: AudioCollator,
    told: Record,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = tmp_path / "records.jsonl"
    data.write_text("".join(r.to_json() + "\n" for r in (told, replace(told, id="clip-2", summary="Pumps."))))
    out = tmp_path / "apart.json"
    command = ["teacher-gap", "--base", audio_folder, "--rank", "2", "--teacher", llama_folder, "--data", data]
    assert main([*map(str, command), "--batch", "1", "--out", str(out)]) == 0
    found = json.loads(out.read_text())["kinds"]
    assert list(found) == [SUPPORTED_TOKENS, INVENTED_TOKENS, OTHER_TOKENS]
    batch = hears([told, replace(told, summary="Pumps.")])
    labels = batch.pop("labels")[:, 1:]
    with torch.no_grad():
        logits = open_model(audio_folder).eval()(**batch).logits[:, :-1]
    likely = -torch.nn.functional.cross_entropy(logits[labels != -100], labels[labels != -100])
    tokens = sum(row["tokens"] for row in found.values())
    assert tokens == int((labels != -100).sum())
    mean = sum(row["tokens"] * row["student_log_p"] for row in found.values()) / tokens
    assert mean == pytest.approx(float(likely), abs=1e-3)
    assert all(row["forward_kl"] > 0 and row["reverse_kl"] > 0 for row in found.values())
    assert "| names and figures that are said |" in capsys.readouterr().out


def test_answers_of_an_earlier_result_can_be_read_instead(
    audio_folder: Path, llama_folder: Path, told: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, result = tmp_path / "records.jsonl", tmp_path / "result.json"
    data.write_text("".join(r.to_json() + "\n" for r in (told, replace(told, id="clip-2"))))
    rows = [{"id": told.id, "summary": "Nothing was said."}, {"id": "clip-2", "summary": " "}]
    result.write_text(json.dumps({"systems": [{"system": "SFT", "kind": "hears", "rows": rows}]}))
    command = ["teacher-gap", "--base", audio_folder, "--rank", "2", "--teacher", llama_folder, "--data", data]
    assert main([*map(str, command), "--answers", f"{result}#SFT"]) == 0
    said = capsys.readouterr().out
    assert "1 of them answered" in said
    assert SUPPORTED_TOKENS not in said
    assert OTHER_TOKENS in said
