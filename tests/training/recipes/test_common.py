import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from safetensors.numpy import load_file
from torch.utils.data import BatchSampler, SequentialSampler
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP

from tests.training.runtime.test_resume import distillation, losses
from tests.training.tiny_checkpoints import noise, record
from training.recipes import callbacks, distill, dpo, sft
from training.recipes.common import length_grouped_records, open_configured_student
from training.recipes.config import TrainConfig

Recipe = Callable[[Path, TrainConfig], Path]


def recipes(*in_every_run: str) -> pytest.MarkDecorator:
    """Run a test for these recipes, and in `make test-slow` for the others too."""
    names = ("sft", "distill", "dpo")
    params = [name if name in in_every_run else pytest.param(name, marks=pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("recipe", params, indirect=True)


@pytest.fixture
def recipe(request: Any, audio_folder: Path, llama_folder: Path, tmp_path: Path) -> Recipe:
    good = [f"Caller {i} wants a pump." for i in range(2)]
    pairs = [{"chosen": text, "rejected": "It is about a garden."} for text in good]
    short = {"style": "headline"}
    rows = [record(i, tmp_path, noise(0.5, i), good[i], style=short, **pairs[i]) for i in range(2)]
    made: dict[str, Recipe] = {
        "sft": lambda out, how: sft.train(audio_folder, rows, out, how),
        "distill": lambda out, how: distill.train(
            audio_folder, rows, out, distillation(how, llama_folder, temperature=0)
        ),
        "dpo": lambda out, how: dpo.train(audio_folder, rows, out, how),
    }
    return made[request.param]


@recipes("sft", "distill")
def test_gradient_checkpointing_costs_time_and_changes_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, passes = Qwen2MLP.forward, Counter[bool]()
    logged, learned = [], []
    for again in (False, True):

        def count_pass(module: Any, *given: Any, again: bool = again) -> Any:
            passes[again] += module.training
            return forward(module, *given)

        monkeypatch.setattr(Qwen2MLP, "forward", count_pass)
        settings = {
            "max_steps": 2,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            "lora_rank": 2,
            "logging_steps": 1,
            "report_to": ["none"],
        }
        file = recipe(tmp_path / str(again), TrainConfig(**settings, gradient_checkpointing=again))
        logged.append(losses(file))
        learned.append(load_file(file))
    assert passes[True] >= 1.5 * passes[False] > 0, "layers are worked out again on the way back"
    assert logged[1] == pytest.approx(logged[0], rel=1e-5)
    for name, value in learned[0].items():
        np.testing.assert_allclose(learned[1][name].astype(float), value.astype(float), atol=1e-4, err_msg=name)


@recipes("sft")
def test_a_command_ends_within_its_minutes_and_its_rate_has_fallen_by_then(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step looks at the clock twice, three seconds apart; imports and checks took thirty of the sixty seconds."""
    moments = itertools.count(30.0, 3.0)
    monkeypatch.setattr(callbacks, "process_clock", SimpleNamespace(seconds_since_process_start=lambda: next(moments)))
    how = TrainConfig(
        max_steps=50,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        lora_rank=2,
        logging_steps=1,
        report_to=["none"],
        max_minutes=1,
    )
    lines = [
        line for line in json.loads((recipe(tmp_path / "run", how).parent / "log.json").read_text()) if "loss" in line
    ]
    assert len(lines) == 5, "at 33, 39, … it begins a step, after the one at 57 it is over"
    logged = [line["learning_rate"] for line in lines]
    assert logged == pytest.approx([9.755e-3, 7.939e-3, 5e-3, 2.061e-3, 2.447e-4], rel=1e-3), "as it was used"
    assert how.training_arguments(tmp_path)["max_steps"] == 50


def test_the_rate_rises_quickly_and_falls_to_nothing_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    limit, group = callbacks.TimeLimitCallback(100), {"lr": 0.0}
    for moment in (20, 20, 22, 24, 60, 99.9):
        monkeypatch.setattr(
            callbacks, "process_clock", SimpleNamespace(seconds_since_process_start=lambda moment=moment: moment)
        )
        if not rates and not limit.started_at:
            limit.on_train_begin(None, None, None)
            continue
        group["lr"] = 1.0  # as the scheduler has just set it
        limit.on_step_begin(None, None, None, optimizer=SimpleNamespace(param_groups=[group]))
        rates.append(round(group["lr"], 2))
    assert rates == [0.05, 0.55, 0.99, 0.5, 0.0]


@pytest.mark.parametrize(("records", "processes"), [(24, 2), (24, 3), (23, 2), (3, 4)])
def test_processes_share_batches_of_like_length_and_leave_no_record_out(
    records: int, processes: int, tmp_path: Path
) -> None:
    """As accelerate deals them out: whole batches in turn, and what the last round lacks from the first again."""
    batch = 2
    found = length_grouped_records(
        [record(i, tmp_path, duration_s=float(1 + i)) for i in range(records)], batch * processes, seed=1
    )
    dealt = [
        list(BatchSamplerShard(BatchSampler(SequentialSampler(found), batch, False), processes, number))
        for number in range(processes)
    ]
    rounds = list(zip(*dealt, strict=True))
    seen = Counter(found[i].id for group in rounds for part in group for i in part)
    assert seen.keys() == {r.id for r in found}
    assert sum(seen.values()) == -(-records // (batch * processes)) * batch * processes
    if records % (batch * processes) == 0:
        assert set(seen.values()) == {1}
    for group in rounds[: records // (batch * processes)]:
        seconds = [float(found[i].duration_s or 0) for part in group for i in part]
        assert max(seconds) <= 1.25 * min(seconds) + batch * processes


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"full_finetuning": True, "encoder_rank": 2}, "--full-finetuning trains no LoRA"),
        ({"freeze_encoder": True}, "--encoder-rank has to give"),
    ],
)
def test_an_encoder_is_trained_by_pairs_alone(audio_folder: Path, how: dict[str, Any], why: str) -> None:
    config = TrainConfig(max_steps=1, per_device_train_batch_size=1, learning_rate=1e-3, lora_rank=2, **how)
    with pytest.raises(ValueError, match=why):
        open_configured_student(audio_folder, config)
