"""Fields, options and their old names."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from training.align import command as align
from training.recipes import config, distill, dpo, pairs, sft
from training.recipes.config import DistillConfig, TrainConfig, config_from_options

SAME: dict[str, Any] = {
    "max_steps": 3,
    "per_device_train_batch_size": 2,
    "learning_rate": 0.5,
    "lora_rank": 4,
    "gradient_accumulation_steps": 5,
    "max_minutes": 1.5,
    "audio_gain_steps": 6,
    "save_steps": 7,
    "logging_steps": 8,
    "feature_cache": Path("cache"),
    "full_finetuning": True,
    "keep_freed_memory": True,
    "torch_compile": True,
    "resume_from_checkpoint": True,
    "dataloader_num_workers": 9,
}
OLD = (
    "--steps 3 --batch 2 --rate 0.5 --rank 4 --accumulate 5 --within 1.5 --gain-every 6 --save-every 7 --log-every 8 "
    "--features cache --full --keep-memory --compile --resume --workers 9"
)
NEW = (
    "--max-steps 3 --per-device-train-batch-size 2 --learning-rate 0.5 --lora-rank 4 --gradient-accumulation-steps 5 "
    "--max-minutes 1.5 --audio-gain-steps 6 --save-steps 7 --logging-steps 8 --feature-cache cache --full-finetuning "
    "--keep-freed-memory --torch-compile --resume-from-checkpoint --dataloader-num-workers 9"
)


def parse(module: Any, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize("module", [sft, dpo, distill])
@pytest.mark.parametrize("options", [OLD, NEW])
def test_old_and_new_names_give_the_same_configuration(
    module: Any, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    required = ["--base", "b", "--data", "d", "--out", "o", "--start", "a", *(["--teacher", "t"] * (module is distill))]
    parsed = parse(module, *required, *options.split())
    found = config_from_options(parsed, DistillConfig if module is distill else TrainConfig, eval_dataset=[])
    assert {name: getattr(found, name) for name in SAME} == SAME
    assert found.start_adapters == [Path("a")]
    assert ("--rate is deprecated" in capsys.readouterr().err) == (options == OLD)


def test_the_options_of_distillation_fill_its_configuration() -> None:
    options = "--base b --data d --out o --teacher t --answer-tokens 5 --beta 0.5 --rollout http://s --rollout-copy"
    found = config_from_options(parse(distill, *options.split()), DistillConfig)
    assert (found.teacher, found.max_completion_length, found.beta) == (Path("t"), 5, 0.5)
    assert (found.rollout, found.rollout_copy, found.steps_per_rollout) == ("http://s", True, 1)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (pairs, "--samples 3 --batch 2 --rank 4", "--num-generations 3 --batch-size 2 --lora-rank 4"),
        (
            align,
            "--rate 0.5 --held h --held-clips 2 --warmup 3",
            "--learning-rate 0.5 --eval-data h --eval-clips 2 --warmup-steps 3",
        ),
    ],
)
def test_other_commands_have_both_names_too(module: Any, old: str, new: str) -> None:
    required = ["--base", "b", "--data", "d", "--out", "o"]
    assert parse(module, *required, *old.split()) == parse(module, *required, *new.split())
    assert parse(module, *required) != parse(module, *required, *new.split())


def test_every_field_is_documented() -> None:
    """By the option's help, or by a sentence after it in the source."""
    source = Path(str(config.__file__)).read_text()
    for field in fields(DistillConfig):
        after = source.partition(f"    {field.name}: ")[2].partition("\n")[2]
        assert field.metadata.get("help") or after.startswith('    """'), field.name
