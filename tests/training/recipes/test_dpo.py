import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.record import Record
from training.data.record_files import UnusableRecord
from training.models.checkpoint import add_lora, load_adapter, open_model
from training.models.collate import IGNORE_INDEX, AudioCollator
from training.recipes import dpo
from training.recipes.config import TrainConfig
from training.recipes.dpo import PreferenceCollator
from training.runtime.run_record import read_run_record


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        record(
            i, folder, noise(0.6 + 0.1 * i, i), "", chosen=f"Caller {i} wants a pump.", rejected="It is about a garden."
        )
        for i in range(4)
    ]


def as_rows(records: list[Record], **more: Any) -> list[dict[str, Any]]:
    return [{"record": r.to_json(), **more} for r in records]


def test_a_batch_is_the_chosen_and_then_the_rejected(hears: AudioCollator, rows: list[Record]) -> None:
    batch = PreferenceCollator(hears)(as_rows(rows[:2], ref_chosen_logps=-1.0, ref_rejected_logps=-2.0))
    sft = hears(
        [replace(r, summary=str(r.chosen)) for r in rows[:2]] + [replace(r, summary=str(r.rejected)) for r in rows[:2]]
    )
    assert torch.equal(batch["input_ids"], sft["input_ids"])
    assert torch.equal(batch["completion_mask"], (sft["labels"] != IGNORE_INDEX).long())
    assert torch.equal(batch["input_features"], sft["input_features"])
    assert "labels" not in batch
    assert batch["ref_chosen_logps"].tolist() == [-1, -1]
    assert batch["ref_rejected_logps"].tolist() == [-2, -2]


def test_a_pair_is_learned_as_it_stands_whatever_was_written_instead(hears: AudioCollator, rows: list[Record]) -> None:
    plain, other = (
        PreferenceCollator(hears)(as_rows([replace(rows[0], written=w)])) for w in (None, "Something else.")
    )
    for name, value in plain.items():
        assert torch.equal(other[name], value), name


def gap(model: Any, hears: AudioCollator, row: Record) -> float:
    """log p(chosen) - log p(rejected)."""
    sums = []
    for text in (row.chosen, row.rejected):
        batch = hears([replace(row, summary=str(text))])
        labels = batch.pop("labels")[:, 1:]
        with torch.no_grad():
            logits = model(**batch).logits[:, :-1]
        sums.append(-nn.functional.cross_entropy(logits[0], labels[0], ignore_index=IGNORE_INDEX, reduction="sum"))
    return float(sums[0] - sums[1])


def test_the_chosen_comes_to_be_preferred_over_what_the_reference_preferred(
    audio_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path
) -> None:
    how = TrainConfig(
        max_steps=12, per_device_train_batch_size=2, learning_rate=2e-3, lora_rank=4, save_steps=100, logging_steps=1
    )
    file = dpo.train(audio_folder, rows, tmp_path / "run", how, beta=0.1)
    adapter = load_file(file)
    assert len(adapter) == 4 + 28, "the reference's copies of the adapter are not in it"
    model = add_lora(open_model(audio_folder), 4).eval()
    before = [gap(model, hears, row) for row in rows]
    load_adapter(model, file)
    after = [gap(model, hears, row) for row in rows]
    assert np.mean(after) > np.mean(before) + 1
    head, *lines = json.loads((tmp_path / "run" / "log.json").read_text())
    data = {"records": 4, "dropped": {}}
    assert head == {"beta": 0.1, "sft_weight": 0.0, "pairs": 4, "length_ratio": 1.0, "data": data}
    first, *_, last = [line for line in lines if "rewards/margins" in line]
    assert float(first["loss"]) == pytest.approx(np.log(2), abs=1e-3), "it starts from its own reference"
    assert float(last["rewards/margins"]) > float(first["rewards/margins"])


def test_what_is_chosen_can_be_kept_likely(
    audio_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path
) -> None:
    """With --sft-weight the first loss is that of preference, ln 2, and so many times the chosen answers' own."""
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(row.to_json() + "\n" for row in rows[:2]))
    command = ["dpo", "--base", audio_folder, "--data", data, "--out", tmp_path / "run", "--gain-every", "0"]
    more = ["--steps", "1", "--batch", "2", "--rank", "4", "--sft-weight", "0.5"]
    assert main([*map(str, command), *more]) == 0
    head, first, *_ = json.loads((tmp_path / "run" / "log.json").read_text())
    assert head["sft_weight"] == 0.5
    batch = hears([replace(row, summary=str(row.chosen)) for row in rows[:2]])
    own = float(open_model(audio_folder).eval()(**batch).loss.detach())
    assert float(first["loss"]) == pytest.approx(np.log(2) + 0.5 * own, abs=2e-3)


def test_records_without_a_pair_are_refused(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    how = TrainConfig(max_steps=1, per_device_train_batch_size=1, learning_rate=1e-3, lora_rank=4)
    for broken in (
        replace(rows[0], chosen=None),
        replace(rows[0], rejected=""),
        replace(rows[0], rejected=rows[0].chosen),
    ):
        with pytest.raises(UnusableRecord, match="clip-0: no two answers"):
            dpo.train(audio_folder, [broken], tmp_path, how)


def test_held_records_need_no_pair(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    """The audio gain is measured by their summaries, as in the other stages."""
    held = [record(20 + i, tmp_path, noise(1 + 0.2 * i, 30 + i), "Anna called.", split="test") for i in range(2)]
    how = TrainConfig(
        max_steps=1,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        lora_rank=4,
        eval_dataset=held,
        audio_gain_steps=1,
    )
    dpo.train(audio_folder, rows, tmp_path / "run", how)
    head, *lines = json.loads((tmp_path / "run" / "log.json").read_text())
    assert head["held"] == {"records": 2, "dropped": {}}
    assert any("audio_gain" in line for line in lines)


def test_the_command(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(row.to_json() + "\n" for row in rows))
    command = ["dpo", "--base", audio_folder, "--data", data, "--out", tmp_path / "run", "--gain-every", "0"]
    assert main([*map(str, command), "--steps", "1", "--batch", "2", "--rank", "2"]) == 0
    assert load_file(tmp_path / "run" / "adapter.safetensors")
    left = read_run_record(tmp_path / "run")
    assert (left["stage"], left["config"]["steps"], left["log"]["step"]) == ("dpo", 1, 1)
