import json
from pathlib import Path

import pytest

from training.__main__ import main
from training.data.audio import read_audio
from training.data.record_files import read_records


def test_texts_and_their_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "generate", "--out", str(tmp_path), "--n", "2", "--max-words", "40", "--engines", "espeak:1"]
    assert main([*command, "--split", "dev", "--register", "voicemail"]) == 0
    texts, rows = read_records(tmp_path / "texts.jsonl"), read_records(tmp_path / "records.jsonl")
    assert [r.id for r in texts] == [r.id for r in rows]
    assert {r.register for r in rows} == {"voicemail"}
    assert all(r.facts and r.words <= 40 and r.split == "dev" for r in rows)
    assert all(len(read_audio(r)) > 16_000 for r in rows)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["spoken"] == 2


def test_texts_alone_may_be_misheard(tmp_path: Path) -> None:
    for name, noise in (("clean", "0"), ("noisy", "0.3")):
        command = ["data", "generate", "--out", str(tmp_path / name), "--n", "6", "--texts-only", "--asr-noise", noise]
        assert main(command) == 0
    clean, noisy = (read_records(tmp_path / name / "texts.jsonl") for name in ("clean", "noisy"))
    same = [a.transcript == b.transcript for a, b in zip(clean, noisy, strict=True)]
    assert same[::2] == [True] * 3
    assert not all(same)
    assert not (tmp_path / "clean" / "records.jsonl").exists()
