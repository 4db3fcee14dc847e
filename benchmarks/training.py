"""How fast each stage of training is, how much of the processor it uses, and where the time of distillation goes."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import recordings
from benchmarks.report import Cell, Results
from model_repo import registry
from model_repo.assemble import assemble_checkpoint
from training.data.record import Record
from training.models import precision
from training.models.checkpoint import open_model
from training.models.collate import IGNORE_INDEX, build_collator
from training.recipes import distill, dpo, sft
from training.recipes.config import DistillConfig, FinetuneConfig, TrainConfig
from training.runtime.run_record import LOG_FILE

NAME = "training"
THEORY = """
Three stages of the pipeline train the same model on the same records, for a few steps each: supervised fine-tuning
(SFT), on-policy distillation (KD) and preference optimization (DPO). The seconds are those that every run writes into
its log: `step_seconds`, and for KD `rollout_seconds` and `teacher_seconds`; what is left of a step is the update. The
first steps are left out, because memory is allocated in them.

Tokens a second counts every token that the update reads, prompts and audio positions included; of a DPO pair both
answers. The model FLOPs utilization (MFU, PaLM, arXiv 2204.02311) is the arithmetic that the step needs by its
definition, divided by what the processor could have done in that time. A matrix of N weights costs 2N a token forward.
The encoder is frozen and the language model's own weights too (LoRA trains beside them), so the update needs 2N forward
and 2N for the gradients of the activations, 4N in all where a full fine-tuning needs 6N. A rollout needs 2N for each
token of prompt and answer, the teacher 2N of its own for each token that it reads. Attention itself, LoRA's small
matrices and what is computed twice are not counted. What the processor can do is measured, not taken from a sheet: the
best rate of a product of two square matrices in the format that training computes in.

A small model uses little of a GPU in a rollout: its tokens come one after another, and each is too little work.
`--steps-per-rollout` answers the recordings of several steps at once.
"""
COLUMNS = ("stage", "s a step", "tokens/s", "MFU, %", "rollout, %", "teacher, %", "update, %")
STUDENT, TEACHER = "speechsum-tiny", "cascade-tiny"
QUERY = "Summarize this recording."
SUMMARY = "Anna says that the pump on line two failed on Monday and that a new seal for 400 euros arrives on Thursday."
WORSE = "Martin says that everything works, and that nobody needs to call back before the weekend is over."


@dataclass(frozen=True)
class Plan:
    """How much is trained.

    Attributes:
        steps: Steps of each stage.
        skipped: Steps at the beginning that do not count.
        batch: Records of a step.
        recording_s: Seconds of each recording.
        max_answer_tokens: Most tokens of a sampled answer.
    """

    steps: int
    skipped: int
    batch: int
    recording_s: float
    max_answer_tokens: int


QUICK, FULL = Plan(3, 1, 2, 4.0, 12), Plan(10, 2, 4, 12.0, 64)
FULL_GPU = Plan(40, 5, 48, 12.0, 64)


@dataclass(frozen=True)
class Sizes:
    """What one record costs.

    Attributes:
        decoder: Weights of the language model that each token goes through.
        encoder: Weights of the audio encoder that each of its positions goes through.
        encoder_positions: Positions of the encoder of one record.
        prompt_tokens: Tokens of the prompt, with those of the audio.
        answer_tokens: Tokens of the summary.
    """

    decoder: int
    encoder: int
    encoder_positions: int
    prompt_tokens: int
    answer_tokens: int


def run(quick: bool) -> Results:
    """Train the served model a little further, with a cascade's text model as the teacher."""
    plan = QUICK if quick else FULL_GPU if torch.cuda.is_available() else FULL
    student, teacher = (
        assemble_checkpoint(registry.resolve_model(registry.REGISTRY_ROOT, name)) for name in (STUDENT, TEACHER)
    )
    return measure(student, teacher, plan)


def measure(student: Path, teacher: Path, plan: Plan) -> Results:
    """Measure the stages. student: a checkpoint that hears. teacher: a text model with the same tokens."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        records = make_records(scratch, plan)
        rows: list[list[Cell]] = []
        peak = peak_flops()
        summary: dict[str, Cell] = {"peak_tflops": peak / 1e12, "batch": plan.batch, "recording_s": plan.recording_s}
        own, read = record_sizes(student, records[:1]), record_sizes(teacher, records[:1])
        for stage, train in _stages(student, teacher, records, plan).items():
            lines = step_lines(train(scratch / stage), plan.skipped)
            seconds = statistics.mean(line["step_seconds"] for line in lines)
            answer = statistics.mean(line.get("answer_tokens", own.answer_tokens) for line in lines)
            sequences = plan.batch * (2 if stage == "DPO" else 1)
            tokens = sequences * (own.prompt_tokens + answer)
            flops = sequences * update_flops(own, answer)
            shares: list[Cell] = [None, None, None]
            if stage == "KD":
                flops += plan.batch * (read_flops(own, answer) + read_flops(read, answer))
                parts = [statistics.mean(line[f"{part}_seconds"] for line in lines) for part in ("rollout", "teacher")]
                shares = [100 * part / seconds for part in (*parts, seconds - sum(parts))]
                for name, share in zip(("rollout", "teacher", "update"), shares, strict=True):
                    summary[f"kd_{name}_percent"] = share
            utilization = 100 * flops / seconds / peak
            rows.append([stage, seconds, tokens / seconds, utilization, *shares])
            key = stage.lower()
            summary |= {
                f"{key}_step_s": seconds,
                f"{key}_tokens_per_s": tokens / seconds,
                f"{key}_mfu": utilization / 100,
            }
    title = (
        f"{student.parent.name}, {plan.batch} recordings of {plan.recording_s:g} s a step, {plan.steps - plan.skipped} "
        f"steps of each stage; the processor did {peak / 1e12:.3g} TFLOP/s"
    )
    return Results(title, COLUMNS, rows, summary)


def _stages(student: Path, teacher: Path, records: list[Record], plan: Plan) -> dict[str, Callable[[Path], Path]]:
    """Return what trains each stage into a folder."""
    how: dict[str, Any] = {
        "max_steps": plan.steps,
        "per_device_train_batch_size": plan.batch,
        "learning_rate": 1e-5,
        "lora_rank": 16,
        "logging_steps": 1,
        "save_steps": plan.steps,
        "report_to": [],
    }
    of_teacher: dict[str, Any] = {"teacher": teacher, "max_completion_length": plan.max_answer_tokens}
    return {
        "SFT": lambda out: sft.train(student, records, out, FinetuneConfig(**how)),
        "KD": lambda out: distill.train(student, records, out, DistillConfig(**how, **of_teacher)),
        "DPO": lambda out: dpo.train(student, records, out, TrainConfig(**how)),
    }


def make_records(folder: Path, plan: Plan) -> list[Record]:
    """Return a record for each row of every step, with its recording in the folder. All are of one length."""
    audio = recordings.different_recordings(plan.recording_s)
    records = []
    for number in range(plan.steps * plan.batch):
        file = folder / f"{number}.wav"
        file.write_bytes(next(audio))
        records.append(
            Record(
                id=f"record-{number}",
                audio=str(file),
                duration_s=plan.recording_s,
                query=QUERY,
                transcript=recordings.TEXT,
                summary=SUMMARY,
                chosen=SUMMARY,
                rejected=WORSE,
            )
        )
    return records


def step_lines(adapter: Path, skipped: int) -> list[dict[str, Any]]:
    """Return the lines about steps of a run's log, without the first ones. adapter: the file that the run wrote."""
    lines: list[dict[str, Any]] = json.loads((adapter.parent / LOG_FILE).read_text())
    return [line for line in lines if "step_seconds" in line][skipped:]


def record_sizes(checkpoint: Path, records: Sequence[Record]) -> Sizes:
    """Return what a record costs in a checkpoint, by one batch of records that are all alike."""
    model = open_model(checkpoint)
    batch = build_collator(checkpoint, model)(records)
    encoder = decoder = 0
    for name, weight in model.named_parameters():
        if "audio_tower" in name:
            encoder += weight.numel() if weight.ndim > 1 else 0
        elif weight.ndim > 1 and "embed_tokens" not in name and "lm_head" not in name:
            decoder += weight.numel()
    decoder += model.get_output_embeddings().weight.numel()  # tied to the embeddings or not, each token goes through it
    answer = int((batch["labels"] != IGNORE_INDEX).sum()) // len(records)
    tokens = int(batch["attention_mask"].sum()) // len(records)
    # The encoder's convolution halves the frames of all its windows, padding included.
    features = batch.get("input_features")
    positions = 0 if features is None else features.shape[0] * features.shape[-1] // 2 // len(records)
    return Sizes(decoder, encoder, positions, tokens - answer, answer)


def update_flops(sizes: Sizes, answer_tokens: float) -> float:
    """Return the FLOPs of the update for one sequence: forward and back through frozen weights."""
    return 4 * sizes.decoder * (sizes.prompt_tokens + answer_tokens) + 2 * sizes.encoder * sizes.encoder_positions


def read_flops(sizes: Sizes, answer_tokens: float) -> float:
    """Return the FLOPs of reading or writing one sequence without a gradient."""
    return 2 * sizes.decoder * (sizes.prompt_tokens + answer_tokens) + 2 * sizes.encoder * sizes.encoder_positions


def peak_flops(size: int = 0) -> float:
    """Return the FLOPs a second of the fastest of several matrix products, in the format that training computes in."""
    on_gpu = torch.cuda.is_available()
    size = size or (8192 if on_gpu else 2048)
    dtype = torch.bfloat16 if precision.uses_bfloat16("auto") else torch.float32
    one, other = (torch.randn(size, size, device="cuda" if on_gpu else "cpu", dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        started_at = time.perf_counter()
        torch.mm(one, other)
        if on_gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started_at)
    return 2 * size**3 / best
