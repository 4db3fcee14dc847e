import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer, TrainingArguments

from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.record import Record
from training.data.record_files import read_records
from training.kd.divergence import DenseDistribution
from training.kd.rollout import Answer, TransformersRollout, answer_logits, append_answers
from training.kd.teacher import LocalTeacherWriter
from training.kd.vllm_rollout import make_rollout
from training.models.checkpoint import add_lora, load_adapter, open_model
from training.models.collate import TextCollator, build_collator
from training.recipes import distill
from training.recipes.common import keep_row_order, length_grouped_records, open_configured_student
from training.recipes.config import DistillConfig, TrainConfig
from training.recipes.distill import teacher_summaries
from training.recipes.distill_trainer import DistillTrainer, question_batch

SHORT = {"style": "headline"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Without a summary: none is read."""
    folder = tmp_path_factory.mktemp("clips")
    return [record(i, folder, noise(0.6 + 0.1 * i, seed=i), "", style=SHORT) for i in range(4)]


class Always:
    """A rollout that writes these answers, and a teacher that always would have said the other token."""

    def __init__(self, written: int, wanted: int, words: int) -> None:
        self.written, self.words = written, words
        self.certain = torch.full((words,), -20.0)
        self.certain[wanted] = 0.0

    def sample(self, model: Any, records: Any, questions: Any = None) -> list[Answer]:
        return [Answer([self.written] * (2 + i), is_complete=i == 0) for i, _ in enumerate(records)]

    def read(self, records: Any, answers: Any) -> DenseDistribution:
        count = sum(len(answer.ids) for answer in answers)
        return DenseDistribution(self.certain.log_softmax(-1).expand(count, self.words))


def trainer_of(
    folder: Path, rows: list[Record], out: Path, steps: int, both: Any = None, more: Any = None, **how: Any
) -> Any:
    settings = TrainConfig(
        max_steps=steps, per_device_train_batch_size=2, learning_rate=1e-2, lora_rank=4, logging_steps=1, **how
    )
    model = open_configured_student(folder, settings)
    collator = build_collator(folder, model)
    both = both or Always(11, 12, 500)
    trainer = DistillTrainer(
        model,
        TrainingArguments(**settings.training_arguments(out)),
        train_dataset=length_grouped_records(rows, 2, 0),
        collator=collator,
        rollout=both,
        teacher=both,
        vocabulary=both.words,
        beta=0.0,
        **(more or {}),
    )
    keep_row_order(trainer)
    return trainer


def test_the_student_comes_to_say_what_the_teacher_would_have_said(
    audio_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    trainer = trainer_of(audio_folder, rows, tmp_path, 25)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "divergence" in line]
    assert [line["step"] for line in lines] == list(range(1, 26)), "every step says how it went"
    assert lines[0]["divergence"] == pytest.approx(lines[0]["loss"], rel=1e-3)
    assert lines[-1]["divergence"] < 0.3 * lines[0]["divergence"]
    assert lines[0]["answer_tokens"] == 2.5
    assert lines[0]["clipped"] == 0.5
    answers = [Answer([11, 11], True)]
    given = append_answers(trainer.collator.collate_questions(rows[:1]), answers, 0)
    with torch.no_grad():
        assert answer_logits(trainer.model.eval(), given, answers)[:, :500].argmax(-1).tolist() == [12, 12]


def test_the_loss_needs_the_audio(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    trainer = trainer_of(audio_folder, rows, tmp_path, 1)
    own = trainer.compute_loss(trainer.model, question_batch(trainer.collator, rows[:1]))
    other = record(9, tmp_path, noise(rows[0].duration_s or 0, 77), "", style=SHORT)
    assert torch.equal(own, trainer.compute_loss(trainer.model, question_batch(trainer.collator, rows[:1])))
    assert abs(own - trainer.compute_loss(trainer.model, question_batch(trainer.collator, [other]))) > 1e-4
    own.backward()
    moved = {n for n, p in trainer.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert any("multi_modal_projector" in name for name in moved)
    assert any("lora_B" in name for name in moved)
    assert all("multi_modal_projector" in name or "lora_" in name for name in moved)


def test_a_batchs_questions_are_made_once(
    audio_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mel windows are what a batch costs before the model sees it."""
    trainer = trainer_of(audio_folder, rows, tmp_path, 1)
    trainer.rollout = TransformersRollout(trainer.collator, 0, trainer.collator.placeholder_ids)
    made: list[str] = []
    question = type(trainer.collator).encode_question
    monkeypatch.setattr(
        type(trainer.collator), "encode_question", lambda self, r: [made.append(r.id), question(self, r)][1]
    )
    trainer.compute_loss(trainer.model, question_batch(trainer.collator, rows))
    assert made == [row.id for row in rows]


def test_repetition_is_told(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    word = open_model(audio_folder).config.text_config.vocab_size - 9
    both = Always(word, 12, word + 1)
    both.sample = lambda model, records, questions: [Answer([504, 253] * 12, False) for _ in records]  # type: ignore[method-assign]
    trainer = trainer_of(audio_folder, rows, tmp_path, 1, both)
    trainer.train()
    assert trainer.state.log_history[0]["repetition"] > 0.5
    assert trainer.state.log_history[0]["clipped"] == 1


def test_off_policy_steps_read_the_datas_summaries(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    known = [replace(row, summary=f"Call {number}.") for number, row in enumerate(rows)]
    both, read = Always(11, 12, 500), []
    teach = both.read
    both.read = lambda records, answers: [read.append(answers), teach(records, answers)][1]  # type: ignore
    trainer = trainer_of(audio_folder, known, tmp_path, 8, both, more={"off_policy_share": 0.5})
    trainer.train()
    told = [[trainer.collator.decode_answer(answer.ids) for answer in answers] for answers in read]
    given = [all(text.startswith("Call") for text in texts) for texts in told]
    lines = [line for line in trainer.state.log_history if "grad_norm" in line]
    assert 0 < sum(given) < 8
    assert ["divergence_of_references" in line for line in lines] == given
    assert ["answer_tokens" in line for line in lines] == [not g for g in given], "only what it wrote itself"
    again = trainer_of(audio_folder, known, tmp_path, 8, more={"off_policy_share": 0.5})
    again.train()
    assert [line["loss"] for line in again.state.log_history if "grad_norm" in line] == [line["loss"] for line in lines]


def test_steps_that_share_a_rollout_are_answered_at_once(
    audio_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    """With the weights of the first of them; each learns from its own recordings' answers."""
    asked: list[tuple[int, list[str]]] = []
    both = Always(11, 12, 500)

    def sample(model: Any, records: Any, questions: Any = None) -> list[Answer]:
        asked.append((trainer.state.global_step, [r.id for r in records]))
        assert len(questions["input_ids"]) == len(records)
        return [Answer([11] * int(r.id.rsplit("-", 1)[-1]) + [11], True) for r in records]

    both.sample = sample  # type: ignore[method-assign]
    learned: list[list[str]] = []
    teach = both.read

    def read(records: Any, answers: Any) -> DenseDistribution:
        learned.append([r.id for r in records])
        assert [len(a.ids) for a in answers] == [int(r.id.rsplit("-", 1)[-1]) + 1 for r in records]
        return teach(records, answers)

    both.read = read  # type: ignore[method-assign]
    trainer = trainer_of(audio_folder, rows, tmp_path, 5, both, more={"steps_per_rollout": 2})
    trainer.train()
    assert [step for step, _ in asked] == [0, 2, 4]
    assert [ids for _, ids in asked][:2] == [learned[0] + learned[1], learned[2] + learned[3]]
    assert len(learned) == 5


def test_shared_rollouts_leave_out_steps_off_policy(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    known = [replace(row, summary=f"Call {number}.") for number, row in enumerate(rows)]
    lines = []
    for share in (1, 4):
        trainer = trainer_of(
            audio_folder,
            known,
            tmp_path,
            8,
            more={"off_policy_share": 0.5, "steps_per_rollout": share},
            dataloader_num_workers=0,
        )
        trainer.train()
        lines.append([line for line in trainer.state.log_history if "grad_norm" in line])
    given = [["divergence_of_references" in line for line in run] for run in lines]
    assert given[0] == given[1]
    assert 0 < sum(given[0]) < 8


def test_a_copy_samples_while_the_student_computes_in_bfloat16(
    audio_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    """The trainer has wrapped the student by then, which the copy must not be."""
    trainer = trainer_of(
        audio_folder,
        rows,
        tmp_path,
        4,
        more={"steps_per_rollout": 2},
        precision="bfloat16",
        gradient_checkpointing=False,
    )
    trainer.rollout = make_rollout(trainer.collator, 1.0, None, None, True, max_answer_tokens=4, use_merged_copy=True)
    trainer.train()
    copy = trainer.rollout.merged_copy.model
    assert {p.dtype for p in copy.parameters()} == {torch.bfloat16}
    assert type(copy) is type(open_model(audio_folder))
    lines = [line for line in trainer.state.log_history if "divergence" in line]
    assert len(lines) == 4
    assert all(1 <= line["answer_tokens"] <= 4 for line in lines)


def config(teacher: Path, **changes: Any) -> DistillConfig:
    settings = {"max_steps": 1, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "lora_rank": 4}
    return DistillConfig(**settings | {"teacher": teacher} | changes)


def test_no_step_goes_without_answers(audio_folder: Path) -> None:
    with pytest.raises(ValueError, match="--steps-per-rollout is 0"):
        config(audio_folder, steps_per_rollout=0)


def test_a_loop_teaches_nothing(audio_folder: Path, rows: list[Record], tmp_path: Path) -> None:
    """The teacher, which would have the loop go on, is asked about what stands before it."""

    def loss(ids: list[int], **more: Any) -> float:
        both = Always(11, 12, 500)
        both.sample = lambda model, records, questions: [Answer(ids, False) for _ in records]  # type: ignore
        trainer = trainer_of(audio_folder, rows, tmp_path, 1, both, more=more)
        return float(trainer.compute_loss(trainer.model.eval(), question_batch(trainer.collator, rows[:1])).detach())

    once, thrice = [21, 22, 23, 24], [21, 22, 23, 24] * 3
    assert loss(thrice, loop_tokens=4) == pytest.approx(loss(once), rel=1e-4)
    assert loss(thrice) != pytest.approx(loss(once), rel=1e-3)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_a_share(audio_folder: Path, share: float) -> None:
    with pytest.raises(ValueError, match="off-policy-share"):
        config(audio_folder, off_policy_share=share)


def write_records_file(file: Path, rows: list[Record]) -> Path:
    file.write_text("".join(row.to_json() + "\n" for row in rows))
    return file


def test_the_command_distils_a_text_twin_into_the_model_that_hears(
    audio_folder: Path, llama_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    data, out = write_records_file(tmp_path / "data.jsonl", rows), tmp_path / "run"
    command = ["distill", "--base", audio_folder, "--teacher", llama_folder, "--data", data, "--out", out]
    more = "--steps 2 --batch 2 --rank 4 --gain-every 0 --beta 0.5 --save-every 1 --loop-tokens 8 --answer-tokens 5"
    assert main([*map(str, command), *more.split()]) == 0
    adapter = load_file(out / "adapter.safetensors")
    assert load_adapter(add_lora(open_model(audio_folder), 4), out / "adapter.safetensors") == len(adapter) == 4 + 28
    assert any(value.any() for name, value in adapter.items() if name.endswith("lora_B.weight"))
    head, *lines = json.loads((out / "log.json").read_text())
    data = {"records": len(rows), "dropped": {}}
    taught = {"level": "tokens", "teacher": str(llama_folder), "beta": 0.5, "temperature": 1.0}
    assert head == taught | {"off_policy_share": 0.0, "loop_tokens": 8, "answer_tokens": 5, "data": data}
    assert {"divergence", "answer_tokens", "clipped", "repetition"} <= lines[0].keys()
    for line in lines[:2]:  # a line a step
        assert 0 < line["rollout_seconds"] + line["teacher_seconds"] < line["step_seconds"]
    assert max(line.get("answer_tokens", 0) for line in lines) <= 5


def test_other_tokens_make_it_sequence_level_and_the_log_says_so(
    audio_folder: Path, llama_folder: Path, rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "token_difference", lambda ours, theirs: "id 3 differs")

    def short(self: Any, model: Any, records: Any) -> list[Answer]:
        made = self.collator.tokenizer("A pump failed.")["input_ids"]
        return [Answer([*made, self.collator.tokenizer.eos_token_id], i > 0) for i, _ in enumerate(records)]

    monkeypatch.setattr(TransformersRollout, "sample", short)
    file = distill.train(audio_folder, rows, tmp_path / "run", config(llama_folder))
    head = json.loads((file.parent / "log.json").read_text())[0]
    data = {"records": len(rows) - 1, "dropped": {}}
    assert head == {"level": "sequence", "why": "id 3 differs", "teacher": str(llama_folder), "data": data}
    taught = read_records(file.parent / "told.jsonl")
    assert [(r.id, r.summary) for r in taught] == [(r.id, "A pump failed.") for r in rows[1:]], "the first had no end"
    assert load_file(file)


def test_a_teacher_that_writes_nothing_of_use_says_so(
    llama_folder: Path, rows: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    model = open_model(llama_folder)
    reads = TextCollator(AutoTokenizer.from_pretrained(llama_folder))
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.model.norm.weight.zero_()
    with pytest.raises(ValueError, match="no summary that could be learned"):
        teacher_summaries(LocalTeacherWriter(model, reads), rows, 4)
    assert "wrote 0 summaries; 4 were" in capsys.readouterr().out
