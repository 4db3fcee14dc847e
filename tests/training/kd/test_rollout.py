from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from model_repo.architectures import AUDIO_TOKEN_ID
from tests.training.tiny_checkpoints import noise, record
from training.data.answer_limit import answer_limit, answer_limit_within
from training.data.record import Record
from training.kd.divergence import DenseDistribution
from training.kd.rollout import (
    Answer,
    ReferenceRollout,
    TransformersRollout,
    answer_logits,
    append_answers,
    truncate_at_end,
    truncate_at_loop,
)
from training.kd.teacher import LocalTeacher
from training.models.checkpoint import open_model
from training.models.collate import IGNORE_INDEX, AudioCollator, TextCollator


@pytest.fixture(scope="module")
def model(audio_folder: Path) -> Any:
    return open_model(audio_folder).eval()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("clips")
    texts = ("The pump failed.", "Anna called; she wants two pumps by Monday.", "Nothing.")
    short = {"style": "headline"}
    return [record(i, folder, noise(0.5 + 0.4 * i, i), text, style=short) for i, text in enumerate(texts)]


def answers_of(collator: Any, rows: list[Record]) -> list[Answer]:
    return [Answer(collator.encode_answer(row), True) for row in rows]


def test_answers_stand_in_the_last_columns(hears: AudioCollator, rows: list[Record]) -> None:
    answers = answers_of(hears, rows)
    longest = max(len(a.ids) for a in answers)
    given = append_answers(hears.collate_questions(rows), answers, 0)
    for row, answer in enumerate(answers):
        assert given["input_ids"][row, -longest:][: len(answer.ids)].tolist() == answer.ids
        assert given["attention_mask"][row, -longest:].tolist() == [1] * len(answer.ids) + [0] * (
            longest - len(answer.ids)
        )
    assert given["input_features"].shape[0] == len(rows)


@torch.no_grad()
def test_logits_are_those_of_each_record_alone_as_sft_sees_them(
    model: Any, hears: AudioCollator, rows: list[Record]
) -> None:
    answers = answers_of(hears, rows)
    found = answer_logits(model, append_answers(hears.collate_questions(rows), answers, 0), answers)
    alone = []
    for row in rows:
        batch = hears([row])
        labels = batch.pop("labels")[0, 1:]
        alone.append(model(**batch).logits[0, :-1][labels != IGNORE_INDEX])
    torch.testing.assert_close(found, torch.cat(alone), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_teacher_reads_the_transcript_and_the_very_ids(llama_folder: Path, rows: list[Record]) -> None:
    reads = TextCollator(AutoTokenizer.from_pretrained(llama_folder))
    model = open_model(llama_folder).eval()
    # Not what the tokenizer would make of the text: "pump" in letters.
    answers = [Answer(reads.tokenizer.convert_tokens_to_ids(list("pump")), False), *answers_of(reads, rows[1:])]
    found = LocalTeacher(model, reads, 1000).read(rows, answers)
    assert isinstance(found, DenseDistribution)
    assert found.log_probabilities.shape == (sum(len(a.ids) for a in answers), 1000)
    torch.testing.assert_close(found.log_probabilities.exp().sum(-1), torch.ones(len(found.log_probabilities)))
    question = reads.encode_question(rows[0])[0]
    logits = model(torch.tensor([question + answers[0].ids])).logits[0, len(question) - 1 : -1, :1000]
    torch.testing.assert_close(found.log_probabilities[:4], logits.log_softmax(-1), atol=1e-4, rtol=1e-4)
    other = LocalTeacher(model, reads, 1000).read([replace(r, transcript="Something else.") for r in rows], answers)
    assert isinstance(other, DenseDistribution)
    assert (other.log_probabilities - found.log_probabilities).abs().max() > 1e-3


def test_greedy_sampling_is_the_models_best(model: Any, hears: AudioCollator, rows: list[Record]) -> None:
    answers = TransformersRollout(hears, temperature=0).sample(model, rows)
    for row, answer in zip(rows, answers, strict=True):
        assert len(answer.ids) <= answer_limit(row)
        logits = answer_logits(model, append_answers(hears.collate_questions([row]), [answer], 0), [answer])
        assert logits.argmax(-1).tolist() == answer.ids


def test_sampling_follows_the_models_distribution_and_leaves_placeholders_out(
    model: Any, hears: AudioCollator, rows: list[Record]
) -> None:
    torch.manual_seed(0)
    model.train()
    many = TransformersRollout(hears, 1.0, [AUDIO_TOKEN_ID]).sample(model, [rows[0]] * 24)
    assert model.training, "sampling leaves the model as it was"
    model.eval()
    assert len({tuple(answer.ids) for answer in many}) > 20
    assert not any(AUDIO_TOKEN_ID in answer.ids for answer in many)
    # With everything forbidden but two tokens, nothing else is written.
    allowed = {11, 12}
    rest = [i for i in range(model.config.text_config.vocab_size) if i not in allowed]
    for answer in TransformersRollout(hears, 1.0, rest).sample(model, rows):
        assert set(answer.ids) <= allowed
        assert not answer.is_complete
        assert len(answer.ids) == answer_limit(rows[0])


def test_an_answer_takes_no_more_than_the_commands_limit_or_its_styles(
    model: Any, hears: AudioCollator, rows: list[Record]
) -> None:
    headline, brief = answer_limit(rows[0]), replace(rows[1], style={"style": "tldr"})
    assert [answer_limit_within(row, 0) for row in (rows[0], brief)] == [headline, answer_limit(brief)]
    assert [answer_limit_within(row, headline + 1) for row in (rows[0], brief)] == [headline, headline + 1]
    whole = TransformersRollout(hears, 0, hears.placeholder_ids).sample(model, rows)
    for answer, begun in zip(
        whole,
        TransformersRollout(hears, 0, hears.placeholder_ids, max_answer_tokens=3).sample(model, rows),
        strict=True,
    ):
        assert begun.ids == answer.ids[:3]
        assert begun.is_complete == (len(answer.ids) <= 3 and answer.is_complete)


def test_an_answer_goes_to_the_end_of_its_turn() -> None:
    assert truncate_at_end([5, 6, 2, 0, 2], 2) == Answer([5, 6, 2], True)
    assert truncate_at_end([5, 6], 2) == Answer([5, 6], False)


def test_what_an_answer_says_again_is_cut_off() -> None:
    assert truncate_at_loop(Answer([1, 2, 3, 4, 1, 2, 5], True), 3) == Answer([1, 2, 3, 4, 1, 2, 5], True)
    looped = Answer([9, 1, 2, 3, 1, 2, 3, 1, 2], False, [-0.1 * i for i in range(9)])
    assert truncate_at_loop(looped, 3) == Answer(
        [9, 1, 2, 3], False, looped.log_probabilities[:4] if looped.log_probabilities else None
    )
    assert truncate_at_loop(Answer([7, 7, 7, 7], True), 2) == Answer([7], False), "runs may overlap"
    assert truncate_at_loop(Answer([7], True), 2) == Answer([7], True)


def test_references_are_the_datas_own_words(hears: AudioCollator, rows: list[Record]) -> None:
    answers = ReferenceRollout(hears).sample(None, rows)
    assert [hears.decode_answer(answer.ids) for answer in answers] == [row.summary for row in rows]
    assert all(answer.is_complete and answer.ids[-1] == hears.tokenizer.eos_token_id for answer in answers)
