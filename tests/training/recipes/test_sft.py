import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file
from torch import nn

from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.record import Record
from training.models.checkpoint import add_lora, load_adapter, open_model
from training.models.collate import AudioCollator
from training.recipes import callbacks, sft
from training.recipes.callbacks import audio_gain
from training.recipes.common import json_dataset, length_grouped_records
from training.recipes.config import TrainConfig
from training.recipes.sft import make_trainer
from training.runtime.run_record import ADAPTER_FILE


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("clips")
    return [record(i, folder, noise(0.6 + 0.1 * i, seed=i), f"Caller {i} asked for a call.") for i in range(4)]


@pytest.fixture
def trainer(audio_folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path) -> Any:
    """SFT's own trainer over a small model."""
    model = add_lora(open_model(audio_folder), 4)
    return make_trainer(
        model,
        hears,
        rows,
        tmp_path,
        TrainConfig(max_steps=1, per_device_train_batch_size=2, learning_rate=1e-3, lora_rank=4),
        [],
    )


def hearing_another(row: Record, seed: int = 99) -> Record:
    """The record with other audio of the same length, so that only what is heard differs."""
    folder = Path(str(row.audio)).parent
    return replace(row, audio=record(seed, folder, noise(row.duration_s or 0, seed)).audio)


def loss(trainer: Any, collator: AudioCollator, row: Record) -> torch.Tensor:
    return trainer.compute_loss(trainer.model, collator([row]))


def test_changing_the_audio_changes_the_training_loss(trainer: Any, hears: AudioCollator, rows: list[Record]) -> None:
    own = loss(trainer, hears, rows[0])
    assert own.isfinite()
    assert torch.equal(loss(trainer, hears, replace(rows[0])), own), "the same audio, the same loss"
    other = hearing_another(rows[0])
    assert hears([other])["input_ids"].tolist() == hears([rows[0]])["input_ids"].tolist()
    assert abs(loss(trainer, hears, other) - own) > 1e-3


def test_the_training_loss_is_the_answers_alone(trainer: Any, hears: AudioCollator, rows: list[Record]) -> None:
    batch = hears([rows[0]])
    with torch.no_grad():
        logits = trainer.model(**{k: v for k, v in batch.items() if k != "labels"}).logits[:, :-1]
    exact = nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
    torch.testing.assert_close(loss(trainer, hears, rows[0]), exact, atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_projector_and_lora_and_not_the_encoder(
    trainer: Any, hears: AudioCollator, rows: list[Record]
) -> None:
    loss(trainer, hears, rows[0]).backward()
    reached = {name for name, p in trainer.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    # LoRA's A has no gradient while B is zero, as it is at the start.
    expected = {
        name for name, _ in trainer.model.named_parameters() if "multi_modal_projector" in name or "lora_B" in name
    }
    assert reached == expected
    assert len(expected) == 4 + 14


def test_the_audio_gain_is_zero_for_a_deaf_model_alone(
    audio_folder: Path, hears: AudioCollator, rows: list[Record]
) -> None:
    pair = [rows[0], replace(hearing_another(rows[0]), summary="The pump failed.")]
    model = open_model(audio_folder).train()
    assert abs(audio_gain(model, hears, pair)) > 1e-3
    assert model.training, "measuring leaves the model as it was"
    with torch.no_grad():
        for parameter in model.model.multi_modal_projector.parameters():
            parameter.zero_()
    assert audio_gain(model, hears, pair) == 0
    with pytest.raises(ValueError, match="needs two records"):
        audio_gain(model, hears, pair[:1])


def test_the_audio_gain_is_the_loss_of_the_wrong_audio_minus_that_of_the_right(
    audio_folder: Path, hears: AudioCollator, rows: list[Record]
) -> None:
    model = open_model(audio_folder).eval()

    def nll(row: Record, heard: Record) -> float:
        with torch.no_grad():
            return float(model(**hears([replace(row, audio=heard.audio)])).loss)

    a, b = rows[:2]
    expected = (nll(a, b) - nll(a, a) + nll(b, a) - nll(b, b)) / 2
    assert audio_gain(model, hears, [a, b]) == pytest.approx(expected, abs=1e-5)


def test_three_steps_write_an_adapter_that_loads_and_a_log(
    audio_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    how = TrainConfig(
        max_steps=3, per_device_train_batch_size=2, learning_rate=1e-3, lora_rank=4, audio_gain_steps=2, save_steps=1
    )
    file = sft.train(audio_folder, rows, out, how)
    adapter = load_file(file)
    assert any(value.any() for name, value in adapter.items() if name.endswith("lora_B.weight")), "something moved"
    assert load_adapter(add_lora(open_model(audio_folder), 4), file) == len(adapter) == 4 + 28
    log = json.loads((out / "log.json").read_text())
    assert [row["step"] for row in log if "audio_gain" in row] == [2]
    assert math.isfinite(log[-1]["train_loss"])
    # A second run begins where the first ended.
    again = sft.train(
        audio_folder, rows, tmp_path / "again", replace(how, start_adapters=[file], max_steps=1, learning_rate=0.0)
    )
    for name, value in load_file(again).items():
        assert (value == adapter[name]).all(), name


def test_processes_that_make_batches_change_nothing_and_the_gain_is_measured_on_held_records(
    audio_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[list[Record]] = []

    def gain(_model: Any, _collator: Any, records: list[Record]) -> float:
        measured.append(records)
        return 0.0

    monkeypatch.setattr(callbacks, "audio_gain", gain)
    how = TrainConfig(
        max_steps=2,
        per_device_train_batch_size=1,
        learning_rate=1e-3,
        lora_rank=4,
        audio_gain_steps=2,
        eval_dataset=rows[2:],
    )
    alone, beside = (
        load_file(sft.train(audio_folder, rows[:2], tmp_path / str(n), replace(how, dataloader_num_workers=n)))
        for n in (0, 1)
    )
    for name, value in alone.items():
        assert (value == beside[name]).all(), name
    assert [{r.id for r in records} for records in measured] == [{r.id for r in rows[2:]}] * 2


def test_a_run_that_is_cut_short_leaves_what_it_had_learned(
    audio_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(callbacks, "audio_gain", cut)
    with pytest.raises(KeyboardInterrupt):
        sft.train(
            audio_folder,
            rows,
            tmp_path,
            TrainConfig(
                max_steps=5,
                per_device_train_batch_size=2,
                learning_rate=1e-3,
                lora_rank=4,
                audio_gain_steps=2,
                save_steps=1,
            ),
        )
    assert len(load_file(tmp_path / ADAPTER_FILE)) == 4 + 28


def test_the_text_twin_trains_from_the_command_line(
    llama_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "text.jsonl"
    longs = [record(9, tmp_path, words=500)]
    data.write_text("".join(r.to_json() + "\n" for r in [record(i, tmp_path) for i in range(3)] + longs))
    command = f"sft --base {llama_folder} --data {data} --out {tmp_path / 'run'} --steps 2 --batch 2 --accumulate 2"
    assert main([*command.split(), "--rank", "2", "--max-words", "100"]) == 0
    said = capsys.readouterr().out
    assert "3 records" in said
    assert said.strip().endswith("adapter.safetensors")
    assert len(load_file(tmp_path / "run" / "adapter.safetensors")) == 28


def test_answers_are_learned_from_as_well(
    llama_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, answers = tmp_path / "text.jsonl", tmp_path / "p.answers.jsonl"
    rows = [record(i, tmp_path) for i in range(3)]
    data.write_text("".join(r.to_json() + "\n" for r in rows))
    gave = [{"text": text, "ended": True} for text in ("Anna rang.", "Call back.", "")]
    answers.write_text(json.dumps({"id": rows[0].id, "answers": gave}) + "\n")
    taught: list[list[Record]] = []
    in_order = sft.records_in_training_order
    monkeypatch.setattr(
        sft, "records_in_training_order", lambda records, how: taught.append(records) or in_order(records, how)
    )
    command = f"sft --base {llama_folder} --data {data} --answers {answers} --out {tmp_path / 'run'} --steps 1 --rank 2"
    assert main(command.split()) == 0
    assert "2 answers to continue from" in capsys.readouterr().out
    assert [(r.id, r.written) for r in taught[0]] == [
        *((r.id, None) for r in rows),
        (rows[0].id, "Anna rang."),
        (rows[0].id, "Call back."),
    ]
    data.write_text(rows[1].to_json() + "\n")
    with pytest.raises(ValueError, match="no answer to any of the 1 records"):
        main(command.split())


@pytest.mark.parametrize("kind", ["hears", "reads"])
def test_a_minimal_record_of_ones_own_trains(kind: str, audio_folder: Path, llama_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", np.stack([noise(1)] * 2, 1), 44_100)
    fields = {"audio": "call.wav", "query": "Sum it up.", "summary": "A pump failed.", "transcript": "The pump failed."}
    data = tmp_path / "mine.jsonl"
    data.write_text("".join(json.dumps({"id": name} | fields) + "\n" for name in "ab"))
    base = audio_folder if kind == "hears" else llama_folder
    command = f"sft --base {base} --data {data} --out {tmp_path / 'run'} --steps 1 --batch 2 --rank 2"
    assert main(command.split()) == 0
    assert load_file(tmp_path / "run" / "adapter.safetensors")


def test_batches_hold_records_of_like_length_and_none_is_left_out(tmp_path: Path) -> None:
    records = [record(i, tmp_path, duration_s=float(1 + i)) for i in range(43)]
    found = length_grouped_records(records, 4, seed=1)
    assert sorted(r.id for r in found) == sorted(r.id for r in records)
    seconds = [float(r.duration_s or 0) for r in found]
    batches = [seconds[i : i + 4] for i in range(0, 40, 4)]
    assert all(max(batch) <= 1.25 * min(batch) + 4 for batch in batches)
    assert batches != sorted(batches), "the batches come in random order"
    assert length_grouped_records(records, 4, seed=1) == found
    assert len(length_grouped_records(records[:3], 4, seed=1)) == 3
    assert [Record.from_json(row["record"]) for row in json_dataset(found)] == found
