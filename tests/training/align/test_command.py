import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import get_peft_model
from safetensors.numpy import load_file
from transformers import AutoTokenizer, WhisperFeatureExtractor

from model_repo.architectures import BaseCheckpoint
from model_repo.assemble import WEIGHTS_FILE, merge_adapter, write_checkpoint
from model_repo.cache import file_sha256
from tests.training.conftest import TEXTS
from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.align import command
from training.align.character_ctc import CharacterHead
from training.align.command import (
    AlignedClip,
    add_arguments,
    align_clips,
    alignment_errors,
    clips_in_one_window,
    encoder_lora,
    train_tokens,
)
from training.align.token_spikes import Aligner, class_token_ids, letter_token_ids, spoken_words
from training.data.record import Record
from training.models.checkpoint import LORA_SCALE, adapter_tensors, open_model, save_adapter
from training.models.split_encoder import Clip, SplitEncoder, encode_clips, pad_frames
from training.runtime.run_record import read_run_record


def options(**changed: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return argparse.Namespace(**vars(parser.parse_args(["--base", "b", "--data", "d", "--out", "o"])) | changed)


def on_base(folder: Path, adapter: Path, out: Path) -> Path:
    """The checkpoint that serves what was trained: base and adapter merged, as the registry does it."""
    tensors = merge_adapter(load_file(folder / WEIGHTS_FILE), load_file(adapter), LORA_SCALE)
    out.mkdir()
    write_checkpoint(
        BaseCheckpoint(tensors, {f.name: f.read_text() for f in folder.iterdir() if f.name != WEIGHTS_FILE}), out
    )
    return out


def test_clips_longer_than_a_window_are_left_out_and_said(
    pair: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        replace(pair[0], duration_s=30.0),
        replace(pair[0], duration_s=30.01),
        replace(pair[0], duration_s=None),
        pair[1],
    ]
    assert clips_in_one_window(rows) == [rows[0], rows[3]]
    assert "2 clips, 2 longer than a window or of unknown length left out" in capsys.readouterr().out


def test_clips_that_do_not_fit_their_text_are_left_out_and_said(
    tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = []
    for i, count in enumerate((60, 10)):
        file = tmp_path / f"{i}.npy"
        np.save(file, np.random.default_rng(i).normal(size=(2, count, 32)).astype(np.float16))
        clips.append(Clip(record(i, tmp_path), file))
    texts = ["please call Anna"] * 2
    classes = class_token_ids(tokenizer, texts, 9)
    found = align_clips(CharacterHead(32), clips, texts, tokenizer, classes)
    assert [aligned.clip for aligned in found] == clips[:1]
    assert [tokenizer.convert_ids_to_tokens(classes[token]) for _, token in found[0].spikes] == [
        "Ġplease",
        "Ġcall",
        "ĠAnna",
    ]
    assert "1 clips aligned, 1 do not fit their text" in capsys.readouterr().out


def test_words_that_are_no_classes_are_located_letter_by_letter(tokenizer: Any, tmp_path: Path) -> None:
    file = tmp_path / "0.npy"
    np.save(file, np.random.default_rng(0).normal(size=(2, 240, 32)).astype(np.float16))
    torch.manual_seed(0)
    classes = class_token_ids(tokenizer, ["please call", "please call"], 100, spell_below=2)
    clips, texts = [Clip(record(0, tmp_path), file)], ["please call Anna"]
    found = align_clips(CharacterHead(32), clips, texts, tokenizer, classes, letter_token_ids(tokenizer))
    said = tokenizer.convert_ids_to_tokens([classes[token] for _, token in found[0].spikes])
    assert said == ["Ġplease", "Ġcall", "Ġa", "n", "n", "a"]


@pytest.fixture
def aligned(
    audio_folder: Path, pair: list[Record], extractor: WhisperFeatureExtractor, tmp_path: Path
) -> list[AlignedClip]:
    clips = encode_clips(SplitEncoder(open_model(audio_folder), 1), pair, extractor, tmp_path / "features")
    return [
        AlignedClip(clips[0], [(4, 1), (13, 2), (30, 3)]),
        AlignedClip(clips[1], [(5, 4), (21, 5), (40, 2), (58, 6)]),
    ]


def aligner_of(folder: Path, tokenizer: Any, lora: bool = False) -> tuple[Any, Aligner]:
    model = open_model(folder)
    classes = class_token_ids(tokenizer, spoken_words(TEXTS), 10)
    embeddings = model.get_input_embeddings().weight.detach()[classes].clone()
    if lora:
        model = get_peft_model(model, encoder_lora(1, 2, 4))
        for name, parameter in model.named_parameters():
            if "multi_modal_projector" in name:
                parameter.requires_grad_(True)
    return model, Aligner(SplitEncoder(model, 1), embeddings)


def error_counts(found: dict[str, float]) -> dict[str, float]:
    """The errors that are counted, without the distance that is measured."""
    return {name: found[name] for name in ("token_error", "spikes_right")}


def test_errors_are_a_token_said(
    audio_folder: Path, tokenizer: Any, aligned: list[AlignedClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, aligner = aligner_of(audio_folder, tokenizer)

    def best(_: Any, counts: Any) -> list[list[int]]:
        """What the paths below say, whatever the frames."""
        return [paths[int(count)] for count in counts]

    paths = {37: [0] * 37, 62: [0] * 62}
    monkeypatch.setattr(aligner, "best_classes", best)
    assert error_counts(alignment_errors(aligner, aligned, 2)) == {"token_error": 1.0, "spikes_right": 0.0}
    for one, path in zip(aligned, paths.values(), strict=True):
        for frame, token in one.spikes:
            path[frame] = token
    assert error_counts(alignment_errors(aligner, aligned, 1)) == {"token_error": 0.0, "spikes_right": 1.0}
    paths[37][5] = 9  # a token that nobody said
    paths[62][5], paths[62][6] = 0, 4  # and one that is a frame late: what is read is the same
    assert error_counts(alignment_errors(aligner, aligned, 2)) == {
        "token_error": round(1 / 7, 4),
        "spikes_right": round(6 / 7, 4),
    }


def test_training_brings_the_errors_down_and_the_merged_checkpoint_says_the_same(
    audio_folder: Path,
    tokenizer: Any,
    aligned: list[AlignedClip],
    tmp_path: Path,
    clock: Callable[[Any, float], None],
) -> None:
    torch.manual_seed(0)
    model, aligner = aligner_of(audio_folder, tokenizer, lora=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    file = tmp_path / "adapter.safetensors"
    before = alignment_errors(aligner, aligned, 2)
    clock(command, 60 / 400)  # a step looks at the clock twice
    how = options(minutes=1, learning_rate=1e-2, warmup_steps=5, batch_size=2, blanks=4.0, logging_steps=40, pull=0.003)
    log = train_tokens(aligner, trained, aligned, aligned, how, lambda: save_adapter(adapter_tensors(model), file))
    assert [line["step"] for line in log[:2]] == [40, 80]
    assert log[-1]["loss"] < 0.3 * log[0]["loss"]
    assert log[-1]["spikes_right"] > 0.8 > 0.3 > before["spikes_right"]
    assert log[-1]["token_error"] < 0.5 < before["token_error"]
    _, served = aligner_of(on_base(audio_folder, file, tmp_path / "merged"), tokenizer)
    assert log[-1]["distance"] < 0.97 * before["distance"]
    assert alignment_errors(served, aligned, 2) == pytest.approx(alignment_errors(aligner, aligned, 2), abs=0.01)
    with torch.no_grad():
        inputs = pad_frames([a.clip.lower_features() for a in aligned])
        ours, theirs = aligner.encoder(*inputs)[0], served.encoder(*inputs)[0]
    assert (ours - theirs).abs().max() < 0.05 * ours.abs().mean(), "float16 of the adapter is all the difference"


def test_other_audio_gives_another_loss(audio_folder: Path, tokenizer: Any, aligned: list[AlignedClip]) -> None:
    _, aligner = aligner_of(audio_folder, tokenizer)
    lower = [a.clip.lower_features()[:74] for a in aligned]
    own, other = (aligner(*pad_frames([row]), [aligned[0].spikes], 99.0) for row in lower)
    assert not torch.isclose(own, other, rtol=1e-3)


def test_lora_is_on_every_projection_from_the_first_trained_layer_on(audio_folder: Path) -> None:
    model = get_peft_model(open_model(audio_folder), encoder_lora(1, 2, 2))
    touched = {
        name.partition("audio_tower.")[2].partition(".lora_")[0]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    modules = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2")
    assert touched == {f"layers.1.{module}" for module in modules}


def write_records_file(folder: Path, *rows: Record) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "records.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    return folder / "records.jsonl"


def run_align(audio_folder: Path, data: Path, out: Path, *more: str) -> int:
    # Seconds of wall time, on a machine that may be busy: enough for a step, and a step is all that is asked for.
    times = ["--character-minutes", "0.005", "--minutes", "0.03", "--warmup", "1", "--log-every", "1", "--rank", "2"]
    fixed = ["--base", str(audio_folder), "--data", str(data), "--out", str(out), "--layers", "1"]
    return main(["align", *fixed, *times, *more])


def test_the_command_writes_an_adapter_that_changes_the_last_layers_only(
    audio_folder: Path, pair: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = record(2, tmp_path, noise(1), duration_s=31.0)
    data, out = write_records_file(tmp_path / "data", *pair, long), tmp_path / "run"
    assert run_align(audio_folder, data, out, "--held", str(data)) == 0
    printed = capsys.readouterr().out
    assert "2 clips, 1 longer than a window or of unknown length left out" in printed
    assert printed.splitlines()[-1] == str(out / "adapter.safetensors")
    left = read_run_record(out)
    assert (left["stage"], left["config"]["layers"]) == ("align", 1)
    assert left["data"] == {"data/records.jsonl": file_sha256(data)}

    base = load_file(audio_folder / WEIGHTS_FILE)
    after = load_file(on_base(audio_folder, out / "adapter.safetensors", tmp_path / "merged") / WEIGHTS_FILE)
    changed = {name for name in base if not np.array_equal(base[name], after[name])}
    assert changed == {name for name in base if name.startswith("multi_modal_projector.")} | {
        f"audio_tower.layers.1.{name}.weight"
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2")
    }
    assert all(np.isfinite(value).all() for value in after.values())

    log = json.loads((out / "log.json").read_text())
    assert (log[0]["clips"], log[0]["character_loss"] > 0) == (2, True)
    assert log[1]["step"] == 1
    assert math.isfinite(log[-1]["loss"])
    assert set(log[-1]) >= {"token_error", "spikes_right"}
    classes = json.loads((out / "classes.json").read_text())
    assert len(classes) == log[0]["classes"]
    tokens = AutoTokenizer.from_pretrained(audio_folder).convert_ids_to_tokens(classes)
    assert tokens[0] == "Ġ"
    assert {"Ġpump", "ĠMonday"} <= set(tokens)
    assert len(list((out / "features").glob("*.npy"))) == 2


def test_a_run_goes_on_from_an_earlier_ones_adapter(audio_folder: Path, pair: list[Record], tmp_path: Path) -> None:
    data, first, second = write_records_file(tmp_path / "data", *pair), tmp_path / "first", tmp_path / "second"
    run_align(audio_folder, data, first)
    adapter = first / "adapter.safetensors"
    run_align(audio_folder, data, second, "--start", str(adapter), "--rate", "0")
    ours, theirs = load_file(adapter), load_file(second / "adapter.safetensors")
    assert all(np.array_equal(value, theirs[name]) for name, value in ours.items())


def test_a_run_without_a_clip_says_so(audio_folder: Path, tmp_path: Path) -> None:
    data = write_records_file(tmp_path, record(1, tmp_path, noise(1), duration_s=31.0))
    with pytest.raises(ValueError, match="no clip is left"):
        run_align(audio_folder, data, tmp_path / "run")


def test_a_run_whose_clips_do_not_fit_their_texts_says_so(audio_folder: Path, tmp_path: Path) -> None:
    data = write_records_file(tmp_path, record(1, tmp_path, noise(0.2), transcript=TEXTS[1]))
    with pytest.raises(ValueError, match="no clip fits its text"):
        run_align(audio_folder, data, tmp_path / "run", "--character-minutes", "0.001")
    assert not (tmp_path / "run" / "adapter.safetensors").exists()
