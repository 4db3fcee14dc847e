import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.families.tiny_families import qwen2_audio
from tests.training.tiny_checkpoints import noise, record
from training.data.record_files import UnusableRecord
from training.models.checkpoint import open_model
from training.models.collate import build_collator
from training.recipes.config import TrainConfig
from training.recipes.sft import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("qwen2-audio")
    qwen2_audio(out)
    return out


@pytest.fixture(scope="module")
def hears(folder: Path) -> Any:
    return build_collator(folder, open_model(folder))


def test_what_the_processor_would_cut_is_refused(hears: Any, tmp_path: Path) -> None:
    assert hears.encode_question(record(1, tmp_path, noise(30)))[0].count(hears.audio_token_id) == 750
    with pytest.raises(UnusableRecord, match=r"clip-2: 30\.1 s of audio, the model takes 30 s"):
        hears.encode_question(record(2, tmp_path, noise(30.1)))


def test_an_answer_ends_with_the_turn_not_with_the_text(hears: Any, tmp_path: Path) -> None:
    assert hears.tokenizer.decode(hears.encode_answer(record(1, tmp_path))) == "Anna called.<|im_end|>"


def test_a_step_of_two_batches_is_a_step_of_one_twice_as_large(folder: Path, tmp_path: Path) -> None:
    rows = [record(i, tmp_path, noise(1 + i, i)) for i in range(2)]
    logs = []
    for batch in (1, 2):
        out = tmp_path / str(batch)
        train(
            folder,
            rows,
            out,
            TrainConfig(
                max_steps=1,
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=2 // batch,
                learning_rate=1e-3,
                lora_rank=2,
                logging_steps=1,
            ),
        )
        logs.append(next(line for line in json.loads((out / "log.json").read_text()) if "loss" in line))
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-3)
    assert logs[0]["grad_norm"] == pytest.approx(logs[1]["grad_norm"], rel=1e-2)
