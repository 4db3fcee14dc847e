import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, WhisperFeatureExtractor

from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.record_files import write_records
from training.eval.probe import FrameReader, error_row
from training.models.checkpoint import open_model
from training.models.split_encoder import SplitEncoder


def test_wrong_words_and_characters_are_counted_whatever_the_capitals(tmp_path: Path) -> None:
    row = error_row(record(1, tmp_path), "the Trailer for  Anna", "The traler ana")
    assert (row["said"], row["read"]) == ("the trailer for anna", "the traler ana")
    assert (row["word_error"], row["word_error_of"]) == (3, 4)
    assert (row["character_error"], row["character_error_of"]) == (1 + 4 + 1, 20)
    assert error_row(record(1, tmp_path), "a b", "")["character_error"] == 3
    assert error_row(record(1, tmp_path), "", "a b")["word_error"] == 2


@pytest.fixture
def saying(audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`saying(classes, *tokens)`: reads a model whose frames lie near the tokens' embeddings, whatever it hears."""
    tokenizer = AutoTokenizer.from_pretrained(audio_folder)

    def make_reader(classes: list[str] | None, *tokens: str) -> FrameReader:
        model = open_model(audio_folder)
        frames = model.get_input_embeddings().weight.detach()[tokenizer.convert_tokens_to_ids(list(tokens))]
        monkeypatch.setattr(SplitEncoder, "forward", lambda *_: (1.01 * frames[None], torch.tensor([len(frames) - 1])))
        ids = None if classes is None else tokenizer.convert_tokens_to_ids(classes)
        return FrameReader(model, tokenizer, WhisperFeatureExtractor.from_pretrained(audio_folder), ids)

    return make_reader


@pytest.mark.parametrize("classes", [None, ["Ġ", "Ġcall", "Ġm", "n", "a"]])
def test_frames_are_read_without_blanks_and_repeats_and_no_further_than_the_clip(
    saying: Any, classes: list[str] | None, tmp_path: Path
) -> None:
    reader = saying(classes, "Ġ", "Ġcall", "Ġcall", "Ġ", "Ġm", "a", "n", "Ġ", "n", "a", "a", "Ġcall")
    assert reader.read([record(1, tmp_path, noise(1.0))]) == [" call manna"]


def test_the_command_writes_what_was_read(
    audio_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [record(i, tmp_path, noise(1.0 + i, seed=i), transcript=f"call {i} times, Anna") for i in (1, 2)]
    data, out = tmp_path / "records.jsonl", tmp_path / "legible.json"
    write_records(data, [*clips, record(3, tmp_path, noise(31.0), transcript="too long")])
    assert main(["probe", "--base", str(audio_folder), "--data", str(data), "--show", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1 longer than a window" in printed
    assert "call one times anna" in printed
    assert "call two times anna" not in printed
    found = json.loads(out.read_text())
    assert [row["said"] for row in found["rows"]] == ["call one times anna", "call two times anna"]
    assert found["figures"]["recordings"] == 2
    wrong, said = (sum(row[name] for row in found["rows"]) for name in ("word_error", "word_error_of"))
    assert found["figures"]["word_error"] == pytest.approx(wrong / said, abs=1e-4)
    assert len(found["figures"]["character_error_95"]) == 2


def test_without_a_clip_it_says_so(audio_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    write_records(data, [record(3, tmp_path, noise(31.0), transcript="too long")])
    with pytest.raises(ValueError, match="no clip is left"):
        main(["probe", "--base", str(audio_folder), "--data", str(data)])


def test_its_old_name_warns_and_still_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["legible", "--base", str(tmp_path / "none"), "--data", "none.jsonl"]) == 2
    printed = capsys.readouterr().err
    assert "speechsum-train legible is deprecated" in printed
    assert "use speechsum-train probe instead" in printed
    assert "speechsum-train probe: error:" in printed
