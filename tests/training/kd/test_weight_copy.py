"""A copy of the student that samples in its place."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny_checkpoints import noise, record
from training.kd.rollout import TransformersRollout, collate_questions, concatenate_questions
from training.kd.vllm_rollout import make_rollout
from training.kd.weight_sync import MergedCopy
from training.models.checkpoint import add_lora, open_model
from training.models.collate import build_collator


def change_weights(model: Any, seed: int) -> Any:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    return model


def test_a_copy_answers_as_the_student_that_learns_on(audio_folder: Path, tmp_path: Path) -> None:
    model = add_lora(open_model(audio_folder), 4, encoder_rank=2).eval()
    collator = build_collator(audio_folder, model)
    rows = [record(i, tmp_path, noise(0.6 + 0.2 * i, seed=i), "", style={"style": "headline"}) for i in range(3)]
    plain = TransformersRollout(collator, 0, collator.placeholder_ids, max_answer_tokens=6)
    copied = make_rollout(collator, 0, None, None, max_answer_tokens=6, use_merged_copy=True)
    said = []
    for seed in (1, 2):
        change_weights(model, seed)
        said.append([answer.ids for answer in plain.sample(model, rows)])
        assert [answer.ids for answer in copied.sample(model, rows)] == said[-1]
    assert said[0] != said[1], "the student had learned something in between"


def test_a_copy_holds_no_lora_and_learns_nothing(audio_folder: Path) -> None:
    model = change_weights(add_lora(open_model(audio_folder), 4), 1)
    copy = MergedCopy(torch.bfloat16).update_from(model)
    assert not [name for name, _ in copy.named_modules() if "lora" in name]
    assert not any(p.requires_grad for p in copy.parameters())
    assert {p.dtype for p in copy.parameters()} == {torch.bfloat16}
    assert any(p.requires_grad for p in model.parameters())


def test_a_student_trained_whole_has_nothing_to_merge(audio_folder: Path) -> None:
    with pytest.raises(ValueError, match="this student has none"):
        MergedCopy(torch.float32).update_from(open_model(audio_folder))


def test_a_copy_is_not_for_a_server(audio_folder: Path) -> None:
    model = open_model(audio_folder)
    with pytest.raises(ValueError, match="--rollout-copy"):
        make_rollout(build_collator(audio_folder, model), 1, "http://127.0.0.1:1", None, use_merged_copy=True)


def test_batches_questions_put_together_are_those_of_one_batch(audio_folder: Path, tmp_path: Path) -> None:
    collator = build_collator(audio_folder, open_model(audio_folder))
    rows = [record(i, tmp_path, noise(0.6 + 0.3 * i, seed=i), "", style={"style": "headline"}) for i in range(4)]
    apart = [collate_questions(collator, rows[:1]), collate_questions(collator, rows[1:])]
    both, one = concatenate_questions(apart, collator.tokenizer.pad_token_id), collate_questions(collator, rows)
    assert both.keys() == one.keys()
    assert all(torch.equal(both[name], one[name]) for name in one)
