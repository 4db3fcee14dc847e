"""A teacher whose words are the student's and whose special tokens are not, as Qwen2.5's are not Qwen2-Audio's."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.training.families import tiny_families
from tests.training.llm.fake_llm_server import standing_in
from tests.training.tiny_checkpoints import noise, record
from training.data.record import Record
from training.data.record_files import read_records
from training.families import family_of_folder
from training.kd import teacher as teaching
from training.kd.divergence import DenseDistribution, TopKDistribution, divergence
from training.kd.rollout import Answer
from training.kd.shared_tokens import SharedTokens, shared_tokens, token_difference
from training.kd.teacher import LocalTeacher, VllmTeacher
from training.models.checkpoint import open_model
from training.models.collate import TextCollator
from training.recipes import distill
from training.recipes.config import DistillConfig
from training.recipes.distill_trainer import countable_tokens

QWEN2_5 = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|box_start|>", "<tool_call>"]
TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2-Audio, whose ids after the shared ones are <|AUDIO|>, <|audio_bos|>, <|audio_eos|>."""
    out = tmp_path_factory.mktemp("student")
    tiny_families.qwen2_audio(out)
    return out


def teacher_folder(folder: Path, specials: list[str], end: str = "<|im_end|>") -> Path:
    folder.mkdir(exist_ok=True)
    names = tiny_families.tokenizer(specials, eos_token=end, pad_token=specials[0])
    names.chat_template = TEMPLATE
    names.save_pretrained(folder)
    tiny_families.write(LlamaForCausalLM(LlamaConfig(**tiny_families.TEXT, head_dim=32)), folder)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_folder(tmp_path_factory.mktemp("teacher"), QWEN2_5)


@pytest.fixture
def rows(tmp_path: Path) -> list[Record]:
    return [record(i, tmp_path, noise(0.6 + 0.1 * i, i), "", style={"style": "headline"}) for i in range(2)]


def test_special_tokens_may_differ_and_words_may_not(student: Path, teacher: Path) -> None:
    ours, theirs = family_of_folder(student).tokenizer(student), AutoTokenizer.from_pretrained(teacher)
    assert ours.convert_ids_to_tokens(259) == "<|AUDIO|>"
    assert theirs.convert_ids_to_tokens(259) == "<|object_ref_start|>"
    assert token_difference(ours, theirs) is None
    assert token_difference(theirs, ours) is None
    assert shared_tokens(ours, theirs) == SharedTokens(262, (259, 260, 261))


def test_a_words_id_and_a_turns_end_must_be_the_same(student: Path, teacher: Path, tmp_path: Path) -> None:
    ours = family_of_folder(student).tokenizer(student)
    theirs = AutoTokenizer.from_pretrained(teacher)

    class Word:
        """The teacher, but for a word where both had special tokens."""

        eos_token_id, all_special_ids = theirs.eos_token_id, theirs.all_special_ids

        @property
        def added_tokens_decoder(self) -> dict[int, Any]:
            return {i: token for i, token in theirs.added_tokens_decoder.items() if i != 259}

        def get_vocab(self) -> dict[str, int]:
            return {("qu" if i == 259 else token): i for token, i in theirs.get_vocab().items()}

        def __len__(self) -> int:
            return len(theirs)

    assert "id 259 is '<|AUDIO|>' to the student and 'qu' to the teacher" in str(token_difference(ours, Word()))
    theirs.eos_token = "<|endoftext|>"
    assert "a turn ends with id 258 for the student and 256" in str(token_difference(ours, theirs))
    moved = teacher_folder(tmp_path / "moved", ["<|endoftext|>", "<|im_start|>", "<|im_stop|>"], "<|im_stop|>")
    assert "a turn ends with '<|im_end|>' for the student" in str(
        token_difference(ours, AutoTokenizer.from_pretrained(moved))
    )


@pytest.mark.parametrize("beta", [0, 0.4, 1])
def test_what_differs_is_taken_out_of_both_distributions(beta: float) -> None:
    torch.manual_seed(0)
    logits, wanted = torch.randn(4, 9, requires_grad=True), torch.randn(4, 9)
    kept = [i for i in range(9) if i not in (2, 7)]
    expected = divergence(logits[:, kept], DenseDistribution(wanted[:, kept].log_softmax(-1)), beta)
    masked = wanted.index_fill(-1, torch.tensor([2, 7]), -torch.inf)
    found = divergence(logits, DenseDistribution(masked.log_softmax(-1)), beta, 3, excluded_ids=(2, 7))
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, [2, 7]].abs().max() == 0, "the student is not taught about them"
    assert logits.grad[:, kept].abs().max() > 0


def test_a_local_teacher_gives_them_nothing(teacher: Path, rows: list[Record]) -> None:
    model, reads = open_model(teacher).eval(), TextCollator(AutoTokenizer.from_pretrained(teacher))
    answers = [Answer([1, 2, 258], True), Answer([3], False)]
    found = LocalTeacher(model, reads, 262, (259, 260, 261)).read(rows, answers)
    assert isinstance(found, DenseDistribution)
    probabilities = found.log_probabilities.exp()
    assert probabilities[:, 259:].sum() == 0
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(4))


def test_a_served_teachers_share_goes_to_the_others(teacher: Path, rows: list[Record]) -> None:
    reads = TextCollator(AutoTokenizer.from_pretrained(teacher))

    def answer(request: httpx.Request) -> httpx.Response:
        count = len(json.loads(request.content)["prompt"])
        place = {"3": {"logprob": math.log(0.3)}, "259": {"logprob": math.log(0.4)}, "5": {"logprob": math.log(0.1)}}
        return httpx.Response(200, json={"choices": [{"prompt_logprobs": [None, *[place] * (count - 1)]}]})

    client = httpx.Client(base_url="http://teacher", transport=httpx.MockTransport(answer))
    found = VllmTeacher(client, "x", reads, 262, 3, excluded_ids=(259,)).read(rows, [Answer([1], True)] * 2)
    assert isinstance(found, TopKDistribution)
    assert found.ids.tolist() == [[3, 5]] * 2
    assert found.log_probabilities.exp().tolist()[0] == pytest.approx([0.5, 1 / 6])


def config(steps: int, batch: int, teacher: Path, **more: Any) -> DistillConfig:
    return DistillConfig(
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=1e-2,
        lora_rank=2,
        logging_steps=1,
        teacher=teacher,
        **more,
    )


def test_they_are_distilled_token_by_token(student: Path, teacher: Path, rows: list[Record], tmp_path: Path) -> None:
    """What a real pair lost: one differing special token made it sequence-level."""
    how = config(2, 2, teacher, max_completion_length=6)
    file = distill.train(student, rows, tmp_path / "run", how)
    head, *lines = json.loads((file.parent / "log.json").read_text())
    assert (head["level"], head["excluded_tokens"]) == ("tokens", [259, 260, 261])
    losses = [line["divergence"] for line in lines if "divergence" in line]
    assert len(losses) == 2
    assert all(math.isfinite(value) and value > 0 for value in losses)
    assert load_file(file)


def test_an_excluded_id_that_was_said_all_the_same_does_not_count() -> None:
    answers = [Answer([0, 2, 3], True), Answer([2], False)]
    assert countable_tokens(torch.zeros(4), answers, (2, 5)).tolist() == [True, False, True, False]
    assert countable_tokens(torch.zeros(4), answers, ()).all()


def test_the_teacher_is_not_opened_where_a_server_has_it(
    student: Path, teacher: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the teacher was opened here")

    for module in (distill, teaching):
        monkeypatch.setattr(module, "open_teacher", never)
    monkeypatch.setattr(
        VllmTeacher, "_ask", lambda self, question, answer: [{1: math.log(0.6), 2: math.log(0.3)}] * len(answer)
    )
    with standing_in(lambda asked: "A pump failed.") as server:
        url = server.url.removesuffix("/v1")
        tokens_alone = tmp_path / "tokenizer"
        tokens_alone.mkdir()
        for file in teacher.glob("*token*"):
            (tokens_alone / file.name).write_bytes(file.read_bytes())
        for file in teacher.glob("*.jinja"):
            (tokens_alone / file.name).write_bytes(file.read_bytes())
        how = config(1, 2, tokens_alone, teacher_url=url, max_completion_length=4)
        made = distill.train(student, rows, tmp_path / "tokens", how)
        assert json.loads((made.parent / "log.json").read_text())[0]["level"] == "tokens"
        assert server.asked == [], "no text was asked for"


def test_where_words_differ_the_texts_come_from_the_server(
    student: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the teacher was opened here")

    monkeypatch.setattr(distill, "open_teacher", never)
    letters = teacher_folder(tmp_path / "letters", ["<|im_end|>", "<|endoftext|>"])
    replies = iter(["A pump failed.", "  "])
    with standing_in(lambda asked: next(replies)) as server:
        url = server.url.removesuffix("/v1")
        how = config(1, 1, letters, teacher_url=url)
        file = distill.train(student, [*rows, replace(rows[0], id="x")][:2], tmp_path / "run", how)
    head = json.loads((file.parent / "log.json").read_text())[0]
    assert (head["level"], head["teacher"]) == ("sequence", url)
    assert [row.summary for row in read_records(file.parent / "told.jsonl")] == ["A pump failed."]
    (asked, _) = server.asked
    assert asked["temperature"] == 0
    assert asked["repetition_penalty"] == 1.0
    assert rows[0].transcript in asked["messages"][-1]["content"]
