"""The configuration of a recipe: every field of `TrainConfig` and `DistillConfig`, with the sentence that documents it.

The options of the commands are made from these fields, so that a field's sentence is also the option's help. Names are
those of Transformers' `TrainingArguments` and TRL's configurations where these have the same thing. An option's old
name still works and warns (`training.runtime.option_names`).

TRL's `TrlParser` is not used: it imports Transformers, which takes seconds before `--help` or a wrong path can be
answered, and it has no deprecated names. Knows nothing about how anything is trained.
"""

import argparse
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from training.data import check
from training.data.record import Record
from training.models import precision
from training.runtime import distributed
from training.runtime.option_names import add_option

Config = TypeVar("Config", bound="TrainConfig")


def option(help: str, *, name: str | None = None, old: str | None = None, **settings: Any) -> dict[str, Any]:
    """Return the metadata of a dataclass field that is an option.

    Args:
        help: what the field means, as a sentence.
        name: the option's name if it is not the field's, such as `--start`.
        old: the option's name in earlier releases, which is deprecated.
        settings: what `argparse.ArgumentParser.add_argument` takes beside type, default and help.
    """
    return {"help": help, "name": name, "old": old, "settings": settings}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a recipe goes through its records: the optimizer, what is trained, what is measured and saved on the way."""

    max_steps: int = field(metadata=option("Optimizer steps to train for.", old="--steps"))
    per_device_train_batch_size: int = field(metadata=option("Records in a batch, for each process.", old="--batch"))
    learning_rate: float = field(
        metadata=option(
            "Peak learning rate. It rises during the first twentieth of the steps, then falls as a cosine.",
            old="--rate",
        )
    )
    lora_rank: int = field(
        metadata=option("Rank of the LoRA matrices on the language model. Alpha is twice the rank.", old="--rank")
    )
    start_adapters: list[Path] = field(
        default_factory=list,
        metadata=option("Adapters to begin from, which are loaded in this order.", name="--start", nargs="*"),
    )
    eval_dataset: list[Record] = field(default_factory=list)
    """Records on which the audio gain is measured. Without them it is measured on some of the training records, and
    then looks better than it is."""
    gradient_accumulation_steps: int = field(
        default=1,
        metadata=option("Batches for one optimizer step. Small batches suit the cache of a CPU.", old="--accumulate"),
    )
    max_minutes: float = field(
        default=0.0,
        metadata=option(
            "Minutes the whole command may take, from its start. It ends then, even if steps are left, and the "
            "learning rate follows the time instead of the steps. 0 sets no limit.",
            old="--within",
        ),
    )
    audio_gain_steps: int = field(
        default=0,
        metadata=option("Steps between two measurements of the audio gain. 0 never measures it.", old="--gain-every"),
    )
    save_steps: int = field(
        default=50,
        metadata=option("Steps between two checkpoints, and between two writes of the adapter.", old="--save-every"),
    )
    logging_steps: int = field(default=10, metadata=option("Steps between two lines of the log.", old="--log-every"))
    encoder_rank: int = field(
        default=0, metadata=option("Rank of the LoRA matrices on the audio encoder. 0 keeps the encoder frozen.")
    )
    freeze_encoder: bool = field(
        default=False, metadata=option("Keep the encoder's LoRA weights as --start gives them.")
    )
    feature_cache: Path | None = field(
        default=None,
        metadata=option(
            "Folder for the output of the frozen encoder, which is then computed once for each recording instead "
            "of once for each batch.",
            old="--features",
        ),
    )
    full_finetuning: bool = field(
        default=False, metadata=option("Train every weight except the encoder's, instead of LoRA.", old="--full")
    )
    gradient_checkpointing: bool = field(
        default=False, metadata=option("Compute activations again in the backward pass: less memory, more time.")
    )
    keep_freed_memory: bool = field(
        default=False,
        metadata=option(
            "On a CPU, keep freed memory for the next step: faster, with up to half of the machine's memory.",
            old="--keep-memory",
        ),
    )
    torch_compile: bool = field(
        default=False,
        metadata=option(
            "Compile the layers of the language model: faster steps after a minute of compiling.", old="--compile"
        ),
    )
    resume_from_checkpoint: bool = field(
        default=False, metadata=option("Continue from the last checkpoint in --out, if there is one.", old="--resume")
    )
    dataloader_num_workers: int = field(
        default=0,
        metadata=option("Processes that prepare batches, so that a GPU need not wait for audio.", old="--workers"),
    )
    seed: int = field(default=0, metadata=option("Seed of the order of the records, of new weights and of sampling."))
    precision: str = "auto"
    """Number format to compute in, one of `training.models.precision.CHOICES`."""
    bad_data: str = check.STOP
    """What happens to records that cannot be used (`training.data.check`): "stop" ends the run, "drop" leaves them
    out."""
    check_speech: bool = False
    """Whether a recording without speech counts as one that cannot be used."""
    report_to: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Where training curves are reported: names of `training.runtime.trackers`."""
    on_train_begin: Callable[[], None] = lambda: None
    """Called once, after all checks and before the first step."""

    def training_arguments(self, out: Path) -> dict[str, Any]:
        """Return the keyword arguments of Transformers' `TrainingArguments` that every recipe uses.

        out: folder of the checkpoints.
        """
        sharded = distributed.uses_fsdp() or distributed.uses_deepspeed()
        return {
            "output_dir": str(out),
            "max_steps": self.max_steps,
            "per_device_train_batch_size": self.per_device_train_batch_size,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "learning_rate": self.learning_rate,
            "lr_scheduler_type": "constant" if self.max_minutes else "cosine",
            "warmup_steps": 0 if self.max_minutes else max(1, self.max_steps // 20),
            "logging_steps": self.logging_steps,
            "save_strategy": "steps",
            "save_steps": self.save_steps,
            "save_total_limit": 1,
            "report_to": self.report_to,
            "remove_unused_columns": False,
            # On a CPU DeepSpeed gets its backend from here: accelerate does not start it for CPU training.
            "use_cpu": not torch.cuda.is_available() and not sharded,
            "ddp_backend": "gloo" if sharded and distributed.is_launched() and not torch.cuda.is_available() else None,
            "gradient_checkpointing": self.gradient_checkpointing,
            # ZeRO-3 shows the parameters of a frozen layer empty when they are compared in the backward pass.
            "gradient_checkpointing_kwargs": {"use_reentrant": distributed.uses_zero3() and not self.full_finetuning},
            "bf16": precision.uses_bfloat16(self.precision),
            "dataloader_num_workers": self.dataloader_num_workers,
            "dataloader_pin_memory": torch.cuda.is_available(),
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainConfig):
    """The options that `sft` has beside those of `TrainConfig`."""

    share_prefix: bool = field(
        default=False,
        metadata=option(
            "For text models: compute a transcript once for all requests about it. A batch then counts transcripts "
            "instead of records."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class DistillConfig(TrainConfig):
    """The options that `distill` has beside those of `TrainConfig`: the teacher, the sampling and the divergence."""

    teacher: Path = field(metadata=option("Folder of the teacher: a text model, such as the text twin.", required=True))
    teacher_url: str | None = field(
        default=None,
        metadata=option(
            "Address of a vLLM server with that model. Then only the tokenizer of --teacher is opened here."
        ),
    )
    top_k: int = field(default=20, metadata=option("Most likely tokens to ask that server for, at each position."))
    beta: float = field(default=0.0, metadata=option("Divergence to minimize: 0 is forward KL, 1 is reverse KL."))
    temperature: float = field(default=1.0, metadata=option("Temperature of the student's sampling. 0 is greedy."))
    off_policy_share: float = field(
        default=0.0,
        metadata=option(
            "Share of the steps in which the teacher reads the records' own summaries instead of sampled answers."
        ),
    )
    loop_tokens: int = field(
        default=0,
        metadata=option("An answer counts up to where it repeats this many tokens of itself. 0 counts all of it."),
    )
    max_completion_length: int = field(
        default=0,
        metadata=option(
            "Most tokens of a sampled answer. 0 leaves it to the style of the record.", old="--answer-tokens"
        ),
    )
    steps_per_rollout: int = field(
        default=1,
        metadata=option(
            "Steps whose recordings are answered at once: faster, with answers of weights up to this many steps old."
        ),
    )
    rollout: str | None = None
    """Address of the vLLM server in which the student samples; None samples in this process."""
    rollout_folder: Path | None = None
    """Folder through which that server gets the student's weights; None is the system's temporary folder."""
    rollout_copy: bool = False
    """Whether a copy of the model with merged LoRA weights samples: faster, for the memory of a second model."""
    sync_every: int = field(
        default=1, metadata=option("Steps between two transfers of the student's weights to that server.")
    )

    def __post_init__(self) -> None:
        """Raise ValueError if a value is out of its range."""
        if self.steps_per_rollout < 1:
            raise ValueError(f"--steps-per-rollout is {self.steps_per_rollout}; it has to be at least 1")
        if not 0 <= self.off_policy_share <= 1:
            raise ValueError(
                f"--off-policy-share is {self.off_policy_share}; it goes from 0 (the student writes all answers) to 1"
            )


def add_config_arguments(parser: argparse.ArgumentParser, config_class: type, **defaults: Any) -> None:
    """Add an option for each field that the class itself defines, not its parents, and that has `option` metadata. The
    `defaults` are this command's, by the names of the fields.
    """
    for one in fields(config_class):
        if "help" not in one.metadata or one.name not in config_class.__annotations__:
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        default = defaults.get(one.name, None if default is MISSING else default)
        settings = {"help": one.metadata["help"], "default": default} | one.metadata["settings"]
        if one.type is bool:
            settings["action"] = "store_true"
        else:
            settings["type"] = one.type if one.type in (int, float) else Path if "Path" in str(one.type) else str
        old = one.metadata["old"]
        add_option(parser, _option_name(one), *([old] if old else []), **settings)


def config_from_options(options: argparse.Namespace, config_class: type[Config], **given: Any) -> Config:
    """Return the configuration that the options state. `given` are fields that are no options."""
    found = {one.name: _option_name(one).removeprefix("--").replace("-", "_") for one in fields(config_class)}
    stated = {name: getattr(options, dest) for name, dest in found.items() if hasattr(options, dest)}
    return config_class(**stated | given)


def _option_name(one: Any) -> str:
    return one.metadata.get("name") or f"--{one.name.replace('_', '-')}"
