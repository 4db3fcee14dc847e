"""Direct preference optimization: TRL's `DPOTrainer` with our collator and one override.

    speechsum-train dpo --base var/aligned --start var/runs/distill/adapter.safetensors \\
        --data var/data/pairs.jsonl --out var/runs/dpo

Stage three of arXiv 2509.19631; pairs come from `speechsum-train pairs`. The reference is the checkpoint it starts
from: its log-probabilities are worked out before the first step, since the projector, which learns too, is no adapter
that could be switched off. What is trained is what `sft` trains. Logged: TRL's rewards, margins and accuracies, and
in the first line the length ratio of chosen to rejected over the data.

Limits: one process; every pair's audio is encoded twice, once for each answer.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from trl import DPOConfig, DPOTrainer

from training import loop
from training.corpus.record import Record
from training.examples import IGNORED, AudioCollator, BadExample, Collator
from training.loop import Loop, Resumable, by_length, collator_of, finish, loop_of, take_in_order


@dataclass
class PairCollator:
    """Rows with a pair → one batch of twice as many: all chosen, then all rejected, as `DPOTrainer` reads them."""

    collator: Collator

    def __call__(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        records = [Record.from_json(row["record"]) for row in rows]
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


def train(base: Path, records: list[Record], out: Path, how: Loop, *, beta: float = 0.1) -> Path:
    """Train and write the adapter; returns its file. Raises `BadExample` for a record without a pair."""
    for record in records:
        if not record.chosen or not record.rejected or record.chosen == record.rejected:
            raise BadExample(f"{record.id}: no two answers to choose between; `speechsum-train pairs` makes them")
    model = how.student(base)
    collator = collator_of(base, model)
    trainer = PairTrainer(
        model=model,
        args=DPOConfig(
            **how.arguments(out),
            beta=beta,
            max_length=None,
            precompute_ref_log_probs=True,
            gradient_checkpointing=False,
        ),
        train_dataset=by_length(records, how.batch, how.seed),
        data_collator=PairCollator(collator),
        processing_class=collator.processor if isinstance(collator, AudioCollator) else collator.tokenizer,
        callbacks=how.callbacks(model, collator, records, out),
    )
    take_in_order(trainer)
    ratio = sum(len(str(r.chosen).split()) / len(str(r.rejected).split()) for r in records) / len(records)
    return finish(trainer, model, out, how, {"beta": beta, "pairs": len(records), "length_ratio": round(ratio, 3)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled checkpoint to start from")
    loop.add_arguments(parser, steps=200, rate=2e-5, log_every=1)
    parser.add_argument("--beta", type=float, default=0.1, help="how dearly a step away from the reference is paid for")


def run(options: argparse.Namespace) -> int:
    """The `dpo` command."""
    records, how = loop_of(options)
    print(train(options.base, records, options.out, how, beta=options.beta))
    return 0
