from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny_checkpoints import noise, record, write_audio, write_llama
from training.models.checkpoint import add_lora, open_model
from training.models.collate import build_collator
from training.models.precision import FLOAT32_ATTENTION, autocast, cast_frozen_layers, uses_bfloat16
from training.recipes.callbacks import audio_gain
from training.recipes.config import TrainConfig
from training.recipes.sft import train


@pytest.mark.parametrize(
    ("choice", "gpu", "expected"),
    [("auto", False, False), ("auto", True, True), ("float32", True, False), ("bfloat16", False, True)],
)
def test_auto_is_bfloat16_on_a_gpu_alone(
    choice: str, gpu: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert uses_bfloat16(choice) is expected


def test_inside_it_products_are_bfloat16() -> None:
    def product() -> Any:
        return torch.ones(2, 2) @ torch.ones(2, 2)

    with autocast("bfloat16", "cpu"):
        assert product().dtype == torch.bfloat16
    with autocast("float32", "cpu"):
        assert product().dtype == torch.float32


def test_sft_in_bfloat16_computes_in_it_and_trains_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_audio(tmp_path / "base")
    records = [record(i, tmp_path, noise(1.0, i)) for i in range(2)]
    seen: dict[str, Any] = {}

    def look(model: Any, collator: Any, rows: Any) -> float:
        seen["trained"] = {p.dtype for p in model.parameters() if p.requires_grad}
        head = model.get_base_model().lm_head
        hook = head.register_forward_hook(lambda *given: seen.update(logits=given[-1].dtype))
        gain = audio_gain(model, collator, rows)
        hook.remove()
        return gain

    monkeypatch.setattr("training.recipes.callbacks.audio_gain", look)
    for precision, computed in {"bfloat16": torch.bfloat16, "float32": torch.float32}.items():
        how = TrainConfig(
            max_steps=1,
            per_device_train_batch_size=2,
            learning_rate=1e-3,
            lora_rank=2,
            audio_gain_steps=1,
            precision=precision,
        )
        train(base, records, tmp_path / precision, how)
        assert seen["trained"] == {torch.float32}
        assert seen["logits"] == computed


def test_frozen_weights_are_held_in_bfloat16_but_for_a_tied_embedding(tmp_path: Path) -> None:
    model = add_lora(open_model(write_llama(tmp_path / "text")), 2)
    cast_frozen_layers(model, "float32")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    cast_frozen_layers(model, "bfloat16")
    kinds = {name: p.dtype for name, p in model.named_parameters()}
    assert {kind for name, kind in kinds.items() if name.endswith("base_layer.weight")} == {torch.bfloat16}
    assert {kind for name, kind in kinds.items() if "lora_" in name or "embed" in name} == {torch.float32}
    head = model.get_base_model()
    assert head.lm_head.weight is head.get_input_embeddings().weight


def test_attention_in_float32_is_that_of_eager_attention_with_its_gradients(tmp_path: Path) -> None:
    """Rows of three tokens and of five: the mask of the padding counts too."""
    model = open_model(write_llama(tmp_path / "text"))
    given = {
        "input_ids": torch.tensor([[3, 5, 7, 0, 0], [2, 4, 6, 8, 9]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
    }
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
    model.set_attn_implementation("eager")
    expected = model(**given, labels=labels).loss
    expected.backward()
    weight = model.model.layers[0].self_attn.q_proj.weight
    gradient, weight.grad = weight.grad.clone(), None
    cast_frozen_layers(model, "bfloat16")  # no layer is frozen, so the weights stay float32
    assert model.config._attn_implementation == FLOAT32_ATTENTION
    found = model(**given, labels=labels).loss
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(weight.grad, gradient, atol=1e-6)


def test_bfloat16_changes_answers_little(tmp_path: Path) -> None:
    model = add_lora(open_model(write_audio(tmp_path / "base")), 2)
    batch = build_collator(tmp_path / "base", model)([record(1, tmp_path, noise(1.0))])
    with torch.no_grad():
        exact = model(**batch).loss
        cast_frozen_layers(model, "bfloat16")
        with autocast("bfloat16", "cpu"):
            assert model(**batch).loss == pytest.approx(float(exact), rel=0.02)
