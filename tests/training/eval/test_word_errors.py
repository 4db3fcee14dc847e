import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny_checkpoints import record
from training.__main__ import main
from training.data.record import Record
from training.eval import word_errors
from training.eval.word_errors import word_error_figures, word_error_row


def test_capitals_punctuation_and_the_form_of_numbers_are_no_errors(tmp_path: Path) -> None:
    said = record(1, tmp_path, transcript="Please call Anna at three thirty, extension forty-two!")
    row = word_error_row(said, "please call Anna at 3:30 extension 42")
    assert (row["word_errors"], row["words"], row["voice"]) == (0, 7, "person")
    assert word_error_row(said, "Please phone Anna at 3:30")["word_errors"] == 3
    assert word_error_row(said, "")["word_errors"] == 7


def test_rates_are_of_each_kind_of_voice_and_of_the_languages_of_natural_ones(tmp_path: Path) -> None:
    clip = record(1, tmp_path, transcript="one apple two pears")
    rows = [
        word_error_row(clip, "one apple two pears"),
        word_error_row(replace(clip, id="clip-2", transcript="a b c d e f g h"), "a b x d e f"),
        word_error_row(replace(clip, id="clip-3", voice="kokoro:af_sky", language="fr"), "one apple"),
        word_error_row(replace(clip, id="clip-4", voice="espeak:en-us"), ""),
    ]
    found = word_error_figures(rows)
    rates = {kind: (one["recordings"], one["words"], one["word_error"]) for kind, one in found["voices"].items()}
    assert rates == {"person": (2, 12, 0.25), "natural": (1, 4, 0.5), "robotic": (1, 4, 1)}
    assert {name: one["word_error"] for name, one in found["languages"].items()} == {"en": 0.25, "fr": 0.5}
    low, high = found["voices"]["person"]["word_error_95"]
    assert low == 0 < 0.25 < high == 0.375


def test_the_command_hears_each_recording_once_and_none_without_speech_or_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[str] = []

    async def transcribe(records: Sequence[Record], whisper: Path | None) -> list[Record]:
        assert whisper == tmp_path
        heard.extend(one.id for one in records)
        return [replace(one, transcript="hello anna") for one in records]

    monkeypatch.setattr(word_errors, "transcribe", transcribe)
    rows = [
        record(1, tmp_path, audio="a.flac", transcript="Hello, Anna."),
        record(2, tmp_path, audio="a.flac", transcript="Hello, Anna.", style={"style": "bullets"}),
        record(3, tmp_path, audio="b.flac", transcript="", no_speech=True),
        record(4, tmp_path, audio="c.flac", transcript=""),
    ]
    (tmp_path / "records.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    out = tmp_path / "results" / "errors.json"
    assert main(f"word-errors --records {tmp_path}/records.jsonl --whisper {tmp_path} --out {out}".split()) == 0
    assert heard == ["clip-1"]
    result = json.loads(out.read_text())
    assert result["figures"]["voices"]["person"]["word_error"] == 0
    assert [(row["id"], row["heard"]) for row in result["rows"]] == [("clip-1", "hello anna")]
    assert '"word_error": 0' in capsys.readouterr().out


def test_without_any_transcript_nothing_can_be_compared(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(record(1, tmp_path, audio="a.flac", transcript="").to_json() + "\n")
    with pytest.raises(ValueError, match="no record has a transcript"):
        main(f"word-errors --records {tmp_path}/records.jsonl --out {tmp_path}/x.json".split())
