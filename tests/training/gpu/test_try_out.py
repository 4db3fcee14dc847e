import json
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoProcessor

from model_repo.architectures import AUDIO_TOKEN_ID
from tests.training.tiny import noise, record
from training.checkpoint import open_model
from training.corpus.record import Record
from training.examples import AudioCollator
from training.gpu.try_out import main, opened, summaries


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("clips")
    short = {"style": "headline"}
    spoken = [noise(0.5 + 0.7 * i, seed=i) for i in range(3)]
    return [record(i, folder, spoken[i], f"Caller {i} wants {i} pumps.", style=short) for i in range(3)]


@pytest.fixture(scope="module")
def hears(audio_folder: Path) -> AudioCollator:
    return AudioCollator(AutoProcessor.from_pretrained(audio_folder), AUDIO_TOKEN_ID)


def test_answers_do_not_depend_on_the_batch(audio_folder: Path, hears: AudioCollator, rows: list[Record]) -> None:
    model, tokenizer = open_model(audio_folder), hears.processor.tokenizer
    together = summaries(model, hears, tokenizer, rows, batch=3)
    assert together == summaries(model, hears, tokenizer, rows, batch=1)
    assert len(set(together)) > 1, "other audio, another answer"


def test_an_answer_is_cut_where_its_own_style_ends(
    audio_folder: Path, hears: AudioCollator, rows: list[Record]
) -> None:
    model, tokenizer = open_model(audio_folder), hears.processor.tokenizer
    longer = replace(rows[0], style={"style": "tldr"})
    headline, tldr = summaries(model, hears, tokenizer, [rows[0], longer], batch=2)
    assert tldr.startswith(headline[:-4]), "the same prompt, the same words"
    assert len(headline) < len(tldr), "48 tokens beside 128"


def test_the_command_writes_every_row(
    audio_folder: Path, llama_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    records = tmp_path / "held" / "records.jsonl"
    records.parent.mkdir()
    records.write_text("".join(row.to_json() + "\n" for row in rows))
    out = tmp_path / "tried.json"
    arguments = ["--model", audio_folder, "--twin", llama_folder, "--records", records, "--limit", "2", "--out", out]
    assert main([str(a) for a in arguments]) == 0
    found = json.loads(out.read_text())["held"]
    assert found.keys() == {"own", "another's", "twin", "audio_gain"}
    assert [row["id"] for row in found["own"]["rows"]] == ["clip-0", "clip-1"]
    assert found["own"]["figures"]["recordings"] == 2
    assert abs(found["audio_gain"]) > 0


def test_a_model_that_hears_is_no_twin(audio_folder: Path) -> None:
    with pytest.raises(ValueError, match="is audioflamingo3, not llama"):
        opened(audio_folder, "llama")
