"""Direct preference optimization (DPO): TRL's `DPOTrainer` with this project's collator.

    speechsum-train dpo --base var/aligned --start var/runs/distill/adapter.safetensors \\
        --data var/data/pairs.jsonl --out var/runs/dpo

Stage three of arXiv 2509.19631; `speechsum-train pairs` makes the pairs. The reference model is the checkpoint that
training starts from. Its log-probabilities are computed before the first step, because the projector is trained too:
it is no adapter, so it cannot be switched off to get the reference. What is trained is what `sft` trains. The log has
TRL's rewards, margins and accuracies, and in its first line the mean length ratio of chosen to rejected answers.

Under `accelerate launch` (training/configs/accelerate) each process trains on its part of every batch. Limit: the audio
of each pair is encoded twice, once for each answer (with `--feature-cache FOLDER`, once for the whole run: see `sft`).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import load_from_disk
from trl import DPOConfig, DPOTrainer

from training.data.record import Record
from training.models.collate import IGNORE_INDEX, AudioCollator, Collator, build_collator
from training.models.trl_patches import score_answers_only, skip_backbone_logits
from training.recipes import common
from training.recipes.callbacks import build_callbacks
from training.recipes.common import (
    check_training_data,
    json_dataset,
    keep_row_order,
    open_configured_student,
    records_and_config,
    records_in_training_order,
    train_and_save,
    training_collator,
)
from training.recipes.config import TrainConfig
from training.recipes.resumable_trainer import ResumableTrainerMixin
from training.runtime import distributed


@dataclass
class PreferenceCollator:
    """Makes a batch of rows with a pair: all chosen answers, then all rejected ones, as `DPOTrainer` expects.

    The batch has the tensors of `Collator` without `labels`, and `completion_mask` (2 x rows, longest): 1 at the tokens
    of the answers.
    """

    collator: Collator

    def __call__(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        # `written` is for recovery labels, which have no place in a pair.
        records = [replace(Record.from_json(row["record"]), written=None) for row in rows]
        both = [replace(r, summary=r.chosen or "") for r in records] + [
            replace(r, summary=r.rejected or "") for r in records
        ]
        batch = self.collator(both)
        batch["completion_mask"] = (batch.pop("labels") != IGNORE_INDEX).long()
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch


class PreferenceTrainer(ResumableTrainerMixin, DPOTrainer):
    """TRL's trainer for rows that `PreferenceCollator` reads, so that the trainer must not tokenize them."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, *given: Any) -> Any:
        if self.is_fsdp_enabled and self.ref_model is None:
            self.model.to(self.args.device)  # the batches are there; FSDP moves the model only when it shards it
        return super()._precompute_ref_logps(*given)


def train(
    base: Path, records: list[Record], out: Path, config: TrainConfig, *, beta: float = 0.1, sft_weight: float = 0.0
) -> Path:
    """Train on the records' pairs, write the adapter into the folder `out`, and return the adapter's file.

    Args:
        beta: strength of the pull towards the reference (arXiv 2305.18290, eq. 7).
        sft_weight: weight of the chosen answers' cross-entropy, which is added to the loss (arXiv 2404.19733).

    Raises UnusableRecord for a record without a pair and for other data that cannot be used.
    """
    model = open_configured_student(base, config)
    plain = build_collator(base, model)
    records, config, data = check_training_data(
        config, records, [plain], answers=("chosen", "rejected"), eval_answers=()
    )
    collator = training_collator(config, model, plain, records)
    # When all weights are trained under FSDP, the reference has to be a model of its own. TRL would open the base for
    # it, without the adapters that this run begins from.
    reference = None
    if config.full_finetuning and distributed.uses_fsdp():
        reference = open_configured_student(base, config).requires_grad_(False)
        training_collator(config, reference, plain, records)  # so that the reference reads cached features, too
    losses: dict[str, Any] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, sft_weight]} if sft_weight else {}
    args = DPOConfig(
        **config.training_arguments(out), **losses, beta=beta, max_length=None, precompute_ref_log_probs=True
    )
    trainer = PreferenceTrainer(
        model=model,
        ref_model=reference,
        args=args,
        train_dataset=share_dataset(json_dataset(records_in_training_order(records, config)), out / "rows", args),
        data_collator=PreferenceCollator(collator),
        processing_class=collator.processor if isinstance(collator, AudioCollator) else collator.tokenizer,
        callbacks=build_callbacks(config, model, collator, records, out),
    )
    skip_backbone_logits(model)
    score_answers_only(model)
    keep_row_order(trainer)
    ratio = sum(len(str(r.chosen).split()) / len(str(r.rejected).split()) for r in records) / len(records)
    head = {"beta": beta, "sft_weight": sft_weight, "pairs": len(records), "length_ratio": round(ratio, 3)}
    return train_and_save(trainer, model, out, config, head | data)


def share_dataset(rows: Any, folder: Path, args: DPOConfig) -> Any:
    """Return the data set, and if there are several processes, as a folder that all of them read: the first process
    writes the reference's log-probabilities beside it, and the others load them from there.
    """
    if distributed.world_size() == 1:
        return rows
    with args.main_process_first():
        if distributed.is_main_process():
            rows.save_to_disk(folder)
        return load_from_disk(folder)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="Assembled checkpoint to start from.")
    common.add_arguments(parser, max_steps=200, learning_rate=2e-5, logging_steps=1)
    parser.add_argument("--beta", type=float, default=0.1, help="Strength of the pull towards the reference.")
    parser.add_argument(
        "--sft-weight",
        type=float,
        default=0.0,
        help="Weight of the chosen answer's cross-entropy, which keeps it from becoming less likely.",
    )


def run(options: argparse.Namespace) -> int:
    """Run the `dpo` command."""
    records, how = records_and_config(options, TrainConfig)
    distributed.print_once(
        str(train(options.base, records, options.out, how, beta=options.beta, sft_weight=options.sft_weight))
    )
    return 0
