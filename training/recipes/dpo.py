"""Direct preference optimization: TRL's `DPOTrainer` with our collator and one override.

    speechsum-train dpo --base var/aligned --start var/runs/distill/adapter.safetensors \\
        --data var/data/pairs.jsonl --out var/runs/dpo

Stage three of arXiv 2509.19631; pairs come from `speechsum-train pairs`. The reference is the checkpoint it starts
from: its log-probabilities are worked out before the first step, since the projector, which learns too, is no adapter
that could be switched off. What is trained is what `sft` trains. Logged: TRL's rewards, margins and accuracies, and
in the first line the length ratio of chosen to rejected over the data.

Under `accelerate launch` (training/configs/accelerate) every process takes its part of each batch. Limits: every
pair's audio is encoded twice, once for each answer (with `--features FOLDER`, once for all steps: see `sft`).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import load_from_disk
from trl import DPOConfig, DPOTrainer

from training.data.check import ready
from training.data.record import Record
from training.models.collate import IGNORED, AudioCollator, Collator
from training.models.trl_patches import answers_only, no_logits_beside
from training.recipes import common
from training.recipes.common import Loop, Resumable, by_length, collator_of, finish, loop_of, take_in_order
from training.runtime import distributed


@dataclass
class PairCollator:
    """Rows with a pair → one batch of twice as many: all chosen, then all rejected, as `DPOTrainer` reads them."""

    collator: Collator

    def __call__(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        # A pair is learned as it stands, not after what a model wrote instead.
        records = [replace(Record.from_json(row["record"]), written=None) for row in rows]
        both = [replace(r, summary=r.chosen or "") for r in records] + [
            replace(r, summary=r.rejected or "") for r in records
        ]
        batch = self.collator(both)
        batch["completion_mask"] = (batch.pop("labels") != IGNORED).long()
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch


class PairTrainer(Resumable, DPOTrainer):
    """TRL's trainer over rows that our collator reads, which it therefore must leave as they are."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, *given: Any) -> Any:
        if self.is_fsdp_enabled and self.ref_model is None:
            self.model.to(self.args.device)  # where the batches are; FSDP would bring it there only to shard it
        return super()._precompute_ref_logps(*given)


def train(
    base: Path, records: list[Record], out: Path, how: Loop, *, beta: float = 0.1, sft_weight: float = 0.0
) -> Path:
    """Train and write the adapter; returns its file. Raises `BadExample` for a record without a pair.

    sft_weight: of the chosen answers' cross-entropy, added to the loss.
    """
    model = how.student(base)
    plain = collator_of(base, model)
    records, how, data = ready(how, records, [plain], answers=("chosen", "rejected"), held_answers=())
    collator = how.collator(model, plain, records)
    # Trained whole under FSDP, the reference has to be a model of its own, which TRL would take from the base alone.
    reference = how.student(base).requires_grad_(False) if how.full and distributed.fsdp() else None
    if reference is not None:
        how.collator(reference, plain, records)  # so that it, too, takes what `--features` keeps
    losses: dict[str, Any] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, sft_weight]} if sft_weight else {}
    args = DPOConfig(**how.arguments(out), **losses, beta=beta, max_length=None, precompute_ref_log_probs=True)
    trainer = PairTrainer(
        model=model,
        ref_model=reference,
        args=args,
        train_dataset=shared(by_length(records, how.batch * distributed.count(), how.seed), out / "rows", args),
        data_collator=PairCollator(collator),
        processing_class=collator.processor if isinstance(collator, AudioCollator) else collator.tokenizer,
        callbacks=how.callbacks(model, collator, records, out),
    )
    no_logits_beside(model)
    answers_only(model)
    take_in_order(trainer)
    ratio = sum(len(str(r.chosen).split()) / len(str(r.rejected).split()) for r in records) / len(records)
    head = {"beta": beta, "sft_weight": sft_weight, "pairs": len(records), "length_ratio": round(ratio, 3)}
    return finish(trainer, model, out, how, head | data)


def shared(rows: Any, folder: Path, args: DPOConfig) -> Any:
    """The rows as a folder that all processes read, if there are several: the first writes the reference's
    log-probabilities beside them, where the others look for theirs.
    """
    if distributed.count() == 1:
        return rows
    with args.main_process_first():
        if distributed.first():
            rows.save_to_disk(folder)
        return load_from_disk(folder)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint to start from")
    common.add_arguments(parser, steps=200, rate=2e-5, log_every=1)
    parser.add_argument("--beta", type=float, default=0.1, help="how dearly a step away from the reference is paid for")
    parser.add_argument(
        "--sft-weight",
        type=float,
        default=0.0,
        help="of the chosen answer's own loss, so that it becomes no less likely",
    )


def run(options: argparse.Namespace) -> int:
    """The `dpo` command."""
    records, how = loop_of(options)
    distributed.say(
        str(train(options.base, records, options.out, how, beta=options.beta, sft_weight=options.sft_weight))
    )
    return 0
