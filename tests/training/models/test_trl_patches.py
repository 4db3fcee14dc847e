"""What TRL's head gives is the same, from fewer positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from tests.training.models.test_compile_layers import student
from tests.training.tiny_checkpoints import noise, record
from training.models import trl_patches
from training.models.checkpoint import unwrap_peft
from training.models.collate import AudioCollator
from training.models.trl_patches import score_answers_only
from training.runtime import distributed

OUTPUTS = ("log_probs", "entropy", "is_top1")


def patch_model(folder: Path) -> Any:
    model = student(folder)
    add_fused_lm_head(unwrap_peft(model), outputs=OUTPUTS)
    return model


def score_batch(model: Any, batch: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """What the head gives, and every gradient of the sum of its log-probabilities."""
    found = model(**batch, fused_lm_head=True, use_cache=False)
    found.log_probs.sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found, gradients


@pytest.fixture
def batch(hears: AudioCollator, tmp_path: Path) -> dict[str, torch.Tensor]:
    """Two clips of different length, so that answers lie in different columns."""
    rows = [record(i, tmp_path, noise(0.6 + 0.3 * i, seed=i), "Asked." * (i + 1)) for i in range(2)]
    return hears(rows)


def test_the_same_comes_out_in_the_same_shape(audio_folder: Path, batch: dict[str, torch.Tensor]) -> None:
    plain, quick = patch_model(audio_folder), patch_model(audio_folder)
    assert score_answers_only(quick)
    expected, gradients = score_batch(plain, batch)
    found, others = score_batch(quick, batch)
    for name in OUTPUTS:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-4)
    assert int(found.label_mask.sum()) == int(expected.label_mask.sum())
    assert others.keys() == gradients.keys()
    for name, value in gradients.items():
        torch.testing.assert_close(others[name], value, atol=1e-5, rtol=1e-3)


def test_only_columns_with_an_answer_reach_the_vocabulary(
    audio_folder: Path, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl.trainer.utils as trl

    rows: list[int] = []
    real = trl._ChunkedLogProbFunction.apply
    monkeypatch.setattr(
        trl._ChunkedLogProbFunction, "apply", lambda hidden, *more: rows.append(len(hidden)) or real(hidden, *more)
    )
    model = patch_model(audio_folder)
    model(**batch, fused_lm_head=True)
    score_answers_only(model)
    model(**batch, fused_lm_head=True)
    every, some = rows
    assert every == batch["labels"].numel() - len(batch["labels"])
    assert some == 2 * int((batch["labels"][:, 1:] != trl_patches.IGNORE_INDEX).any(0).sum())
    assert some < every / 2


def test_without_the_head_all_is_as_it_was(audio_folder: Path, batch: dict[str, torch.Tensor]) -> None:
    model = patch_model(audio_folder)
    before = model(**batch)
    score_answers_only(model)
    after = model(**batch)
    assert after.logits.shape[:2] == batch["labels"].shape
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.loss, before.loss)


@pytest.mark.parametrize("where", ["uses_fsdp", "uses_deepspeed", "cuda"])
def test_where_trl_does_it_or_the_model_is_sharded_it_is_left_alone(
    audio_folder: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = patch_model(audio_folder)
    forward = unwrap_peft(model).forward
    if where == "cuda":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    else:
        monkeypatch.setattr(distributed, where, lambda: True)
    assert not score_answers_only(model)
    assert unwrap_peft(model).forward == forward
