import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from training.synth.speech.__main__ import main
from training.synth.speech.speak_records import SpeechSettings, choose_voices, speak_records
from training.synth.speech.voices import find_voice

SHARES = (("flite", 0.5), ("espeak", 0.5))


def _rows(count: int = 4) -> list[dict[str, Any]]:
    texts = ["The pump failed at 3:30 p.m.", "Ring the plumber, please.", "Bring the ladder on Saturday."]
    return [
        {
            "id": f"memo/{i}",
            "split": ("train", "dev")[i % 2],
            "turns": [[0, texts[i % 3]], [1, "Fine."]],
            "summary": f"S{i}",
        }
        for i in range(count)
    ]


def _records(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_record_gets_its_audio(tmp_path: Path) -> None:
    rows = _rows()
    outcome = speak_records(_records(tmp_path, rows), tmp_path / "out", SpeechSettings(SHARES))
    built = _read(tmp_path / "out/records.jsonl")
    assert (outcome.spoken, outcome.resumed, outcome.failed) == (4, 0, 0)
    assert [row["id"] for row in built] == [row["id"] for row in rows]
    for row, given in zip(built, rows, strict=True):
        samples, rate = sf.read(tmp_path / "out" / row["audio"], dtype="float32")
        assert rate == 16_000
        assert len(samples) / rate == pytest.approx(row["duration_s"], abs=0.05)
        assert np.sqrt(np.mean(samples**2)) > 0.002
        assert set(row) - set(given) == {"audio", "duration_s", "voice"}
        assert {name: row[name] for name in given} == given
        assert all(find_voice(v).split == row["split"] for v in row["voice"].split(", "))
    assert outcome.audio_seconds == pytest.approx(sum(row["duration_s"] for row in built))
    assert {clip["id"] for clip in _read(tmp_path / "out/clips.jsonl")} == {row["id"] for row in rows}
    assert not list(tmp_path.glob("out/**/*.tmp"))


def test_processes_and_resuming_change_nothing(tmp_path: Path) -> None:
    rows = _rows(6)
    whole = tmp_path / "whole"
    speak_records(_records(tmp_path, rows), whole, SpeechSettings(SHARES), jobs=2)
    parts = tmp_path / "parts"
    speak_records(_records(tmp_path, rows), parts, SpeechSettings(SHARES))
    first = {clip["id"]: clip for clip in _read(parts / "clips.jsonl")}
    (parts / first["memo/2"]["audio"]).unlink()
    cut = (parts / "clips.jsonl").read_text()
    (parts / "clips.jsonl").write_text(cut[:-20])  # as a kill in mid-write leaves it
    outcome = speak_records(_records(tmp_path, rows), parts, SpeechSettings(SHARES))
    assert (outcome.spoken, outcome.resumed) == (2, 4)
    assert (parts / "records.jsonl").read_text() == (whole / "records.jsonl").read_text()
    for row in _read(whole / "records.jsonl"):
        assert np.array_equal(sf.read(parts / row["audio"])[0], sf.read(whole / row["audio"])[0])


def test_a_record_that_cannot_be_spoken_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _rows(3)
    rows[1]["turns"] = [[0, "   "]]
    out = tmp_path / "out"
    arguments = ["--records", str(_records(tmp_path, rows)), "--out", str(out), "--engines", "espeak"]
    assert main(arguments) == 1
    assert [row["id"] for row in _read(out / "records.jsonl")] == ["memo/0", "memo/2"]
    assert _read(out / "failures.jsonl")[0]["id"] == "memo/1"
    said = capsys.readouterr()
    assert "FAILED memo/1" in said.err
    assert "1 of 3 records FAILED" in said.err
    assert json.loads(said.out)["failed"] == 1
    assert main([*arguments, "--max-failed", "0.5"]) == 0


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    records = _records(tmp_path, _rows(1))
    speak_records(records, tmp_path / "out", SpeechSettings(SHARES))
    with pytest.raises(ValueError, match="other settings"):
        speak_records(records, tmp_path / "out", SpeechSettings(SHARES, seed=1))


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several records have the same id"):
        speak_records(_records(tmp_path, [_rows()[0], _rows()[0]]), tmp_path / "out", SpeechSettings(SHARES))


def test_a_split_without_voices_is_refused_before_anything_is_spoken(tmp_path: Path) -> None:
    row = _rows()[0] | {"split": "test"}
    with pytest.raises(ValueError, match=r"flite.*'test'"):
        speak_records(_records(tmp_path, [row]), tmp_path / "out", SpeechSettings((("flite", 1.0),)))
    assert not list((tmp_path / "out/audio").iterdir())


def test_flac_is_exact_and_clean_audio_stays_clean(tmp_path: Path) -> None:
    speak_records(_records(tmp_path, _rows(1)), tmp_path / "out", SpeechSettings(SHARES, augment=0, format="flac"))
    info = sf.info(tmp_path / "out/audio/memo_0.flac")
    assert (info.format, info.samplerate, info.channels) == ("FLAC", 16_000, 1)
    assert _read(tmp_path / "out/clips.jsonl")[0]["augmentation"] == []


def test_opus_is_compact(tmp_path: Path) -> None:
    row = {"id": "long", "split": "train", "turns": [[0, "We met on Tuesday and agreed on the smaller stage. " * 12]]}
    speak_records(_records(tmp_path, [row]), tmp_path / "out", SpeechSettings(SHARES, kbps=16))
    built = _read(tmp_path / "out/records.jsonl")[0]
    bits = 8 * (tmp_path / "out" / built["audio"]).stat().st_size / built["duration_s"]
    assert 6_000 < bits < 24_000


def test_speakers_of_a_talk_differ_and_engines_keep_their_shares() -> None:
    row = {"id": "x", "split": "train", "turns": [[0, "a"], [1, "b"], [2, "c"]]}
    settings = SpeechSettings((("kokoro", 0.2), ("flite", 0.2), ("espeak", 0.6)))
    casts = [choose_voices(row, settings, np.random.default_rng(seed)) for seed in range(400)]
    assert all(len({voice.speaker for voice in people}) == 3 for people in casts)
    assert all(len({voice.engine for voice in people}) == 1 for people in casts)
    kokoro = sum(people[0].engine == "kokoro" for people in casts) / len(casts)
    assert 0.14 < kokoro < 0.26
