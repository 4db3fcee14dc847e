"""A shared beginning is computed once, and what is learned is the same as from separate rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.training.tiny_checkpoints import record
from training.data.record import Record
from training.models.checkpoint import add_lora, open_model
from training.models.collate import IGNORE_INDEX, TextCollator
from training.models.shared_prefix import SharedPrefixCollator, accept_branches, group_by_material, join_rows
from training.recipes import sft
from training.recipes.config import FinetuneConfig

TALKS = ("Anna called about the boat. Call her back.", "The meeting on Friday is off.")
REQUESTS = (
    ("Summarize the recording in one or two sentences.", "Anna called."),
    ("Who called?", "It was Anna, again."),
)


@pytest.fixture(scope="module")
def reads(llama_folder: Path) -> TextCollator:
    return TextCollator(AutoTokenizer.from_pretrained(llama_folder))


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Two requests about each of two talks, mixed."""
    return [
        record(number, tmp_path, summary=answer, transcript=talk, query=query)
        for number, (query, answer, talk) in enumerate((*request, talk) for request in REQUESTS for talk in TALKS)
    ]


def joined_batch(reads: TextCollator, records: list[Record]) -> dict[str, torch.Tensor]:
    rows = [{"records": [one.to_json() for one in group]} for group in group_by_material(records)]
    return SharedPrefixCollator(reads)(rows)


def student(folder: Path) -> Any:
    torch.manual_seed(0)
    model = add_lora(open_model(folder), 4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def answer_log_probs(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The log-probability of every answer token, in order of the row."""
    labels = batch["labels"][:, 1:]
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits[:, :-1]
    found = torch.log_softmax(logits, -1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return found[labels != IGNORE_INDEX]


def test_records_with_the_same_transcript_form_a_group(records: list[Record]) -> None:
    groups = group_by_material(records)
    assert [[one.transcript for one in group] for group in groups] == [[talk] * 2 for talk in TALKS]
    assert [one.query for one in groups[1]] == [query for query, _ in REQUESTS]


def test_a_long_transcript_has_several_rows(tmp_path: Path) -> None:
    """With 100 words of transcript and about 20 for each request, three requests have 160."""
    long = [
        record(number, tmp_path, transcript="word " * 100, query="who " * 10, summary="she " * 10)
        for number in range(5)
    ]
    groups = group_by_material(long, max_words=165)
    assert [[one.id for one in group] for group in groups] == [["clip-0", "clip-1", "clip-2"], ["clip-3", "clip-4"]]
    assert [len(group) for group in group_by_material(long, max_words=10)] == [1] * 5
    assert len(group_by_material(long)) == 1


def test_a_transcript_is_in_the_row_once(reads: TextCollator, records: list[Record]) -> None:
    batch = joined_batch(reads, records)
    text = reads.tokenizer.decode(batch["input_ids"][0])
    assert [text.count(talk) for talk in TALKS] == [1, 1]
    assert [text.count(answer) for _, answer in REQUESTS] == [2, 2]
    assert all(value.shape == batch["input_ids"].shape for value in batch.values())


def test_loss_and_gradients_are_those_of_separate_rows(
    llama_folder: Path, reads: TextCollator, records: list[Record]
) -> None:
    groups = [one for group in group_by_material(records) for one in group]  # in the order of the joined row
    plain, shared = student(llama_folder), student(llama_folder)
    accept_branches(shared)
    expected, found = answer_log_probs(plain, reads(groups)), answer_log_probs(shared, joined_batch(reads, records))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    expected.sum().backward()
    found.sum().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    assert gradients
    for name, parameter in shared.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-3, rtol=1e-3)


def test_the_recipe_trains_on_the_loss_of_separate_rows(
    llama_folder: Path, records: list[Record], tmp_path: Path
) -> None:
    """With TRL's own forward pass. The learning rate is almost 0, so that all steps see the same model."""
    losses = {}
    for shared in (True, False):
        config = FinetuneConfig(
            max_steps=1, per_device_train_batch_size=2 if shared else 4, learning_rate=1e-12, lora_rank=4,
            logging_steps=1, report_to=[], share_prefix=shared,
        )  # fmt: skip
        sft.train(llama_folder, records, tmp_path / str(shared), config)
        log = json.loads((tmp_path / str(shared) / "log.json").read_text())
        losses[shared] = next(line for line in log if "loss" in line)
    assert losses[True]["loss"] == pytest.approx(losses[False]["loss"], abs=1e-3)
    assert losses[True]["mean_token_accuracy"] == pytest.approx(losses[False]["mean_token_accuracy"], abs=1e-3)
    assert losses[True]["num_tokens"] < losses[False]["num_tokens"]


def test_a_branch_sees_its_own_beginning_and_nothing_else(
    llama_folder: Path, reads: TextCollator, records: list[Record]
) -> None:
    model = student(llama_folder)
    accept_branches(model)
    batch = joined_batch(reads, records)
    changed = {name: value.clone() for name, value in batch.items()}
    first_branch = (batch["group_ids"][0] == 0) & (batch["branch_ids"][0] == 1)
    changed["input_ids"][0, first_branch] += 1
    before, after = (model(**{k: v for k, v in b.items() if k != "labels"}).logits[0] for b in (batch, changed))
    moved = (before - after).abs().amax(-1) > 1e-4
    assert moved[first_branch].all()
    assert not moved[~first_branch].any()


def test_equal_questions_keep_their_last_token_apart() -> None:
    batch = join_rows([[([5, 6, 7], [8, 9], [8, 9]), ([5, 6, 7], [4], [4])]])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9, 7, 4]]
    assert batch["branch_ids"].tolist() == [[0, 0, 1, 1, 1, 2, 2]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 2, 3]]
    assert batch["labels"].tolist() == [[IGNORE_INDEX] * 3 + [8, 9, IGNORE_INDEX, 4]]
