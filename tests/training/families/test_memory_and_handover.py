"""For every family: the head is worked out on answers alone, sampling is from the model as it is, and what a server is
handed is what its loader reads.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig
from trl.trainer.utils import add_fused_lm_head

from tests.training.families import tiny_families
from tests.training.tiny_checkpoints import record, write_audio, write_llama, write_qwen2
from training.families import FAMILIES, family_of_folder
from training.kd.rollout import Answer, TransformersRollout, answer_logits
from training.kd.weight_sync import write_weights
from training.models.checkpoint import add_lora, open_model, unwrap_peft
from training.models.export import export_copy
from training.models.trl_patches import IGNORE_INDEX, answer_loss, score_answers_only, skip_backbone_logits
from training.runtime.vllm_server import family_options

ALL: dict[str, Callable[[Path], Any]] = tiny_families.WEIGHTS | {
    "audioflamingo3": write_audio,
    "llama": write_llama,
    "qwen2": write_qwen2,
}
WORDS = 11  # tokens of a prompt


@pytest.fixture(scope="module", params=sorted(ALL))
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(request.param)
    ALL[request.param](out)
    return out


@pytest.fixture
def model(folder: Path) -> Any:
    return add_lora(open_model(folder), 2).eval()


def head_inputs(model: Any) -> list[tuple[int, ...]]:
    """Shapes that the head is given, from now on."""
    seen: list[tuple[int, ...]] = []
    head = unwrap_peft(model).get_output_embeddings()
    head.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    return seen


def ids(rows: int, columns: int) -> torch.Tensor:
    torch.manual_seed(rows)
    return torch.randint(30, 200, (rows, columns))


def test_all_families_are_here() -> None:
    assert set(ALL) == set(FAMILIES)


@torch.no_grad()
def test_logits_of_answers_are_made_and_no_others(model: Any) -> None:
    given = ids(2, WORDS + 4)
    answers = [Answer(given[0, WORDS:].tolist(), True), Answer(given[1, WORDS:-1].tolist(), True)]
    whole = model(input_ids=given, attention_mask=torch.ones_like(given)).logits
    seen = head_inputs(model)
    found = answer_logits(model, {"input_ids": given, "attention_mask": torch.ones_like(given)}, answers)
    assert [shape[:2] for shape in seen] == [(2, 4)]
    expected = torch.cat([whole[0, WORDS - 1 : -1], whole[1, WORDS - 1 : -2]])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_loss_on_answers_is_the_models_own(model: Any) -> None:
    given = ids(2, WORDS + 4)
    labels = given.clone()
    labels[:, :WORDS] = IGNORE_INDEX
    labels[1, WORDS:-1] = IGNORE_INDEX
    batch = {"input_ids": given, "attention_mask": torch.ones_like(given), "labels": labels}
    own = model(**batch).loss
    seen = head_inputs(model)
    torch.testing.assert_close(answer_loss(model, batch), own, atol=1e-5, rtol=1e-5)
    assert [shape[:2] for shape in seen] == [(2, 4)]


def test_trls_head_leaves_the_models_own_without_work(folder: Path) -> None:
    """As `sft` and `dpo` set it up; Qwen2.5-Omni's thinker made all logits beside it."""
    model = open_model(folder)
    add_fused_lm_head(model)
    model = add_lora(model, 2)
    skip_backbone_logits(model)
    score_answers_only(model)
    seen = head_inputs(model)
    given = ids(2, WORDS + 4)
    labels = given.clone()
    labels[:, :WORDS] = IGNORE_INDEX
    batch = {"input_ids": given, "attention_mask": torch.ones_like(given), "labels": labels}
    loss = model(**batch, fused_lm_head=True, use_cache=False).loss
    assert all(rows * columns == 0 for rows, columns, *_ in seen)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    with torch.no_grad():
        own = model(**batch).loss
    torch.testing.assert_close(loss.detach(), own, atol=1e-4, rtol=1e-4)
    assert seen[-1][:2] == (2, WORDS + 4), "asked for all logits, the model makes them"


class Questions:
    """A collator as far as sampling goes."""

    def __init__(self, folder: Path) -> None:
        end = json.loads((folder / "generation_config.json").read_text()).get("eos_token_id") or 2
        self.tokenizer = SimpleNamespace(eos_token_id=end, pad_token_id=0)

    def collate_questions(self, records: Any, room: int) -> dict[str, torch.Tensor]:
        given = ids(len(records), WORDS)
        return {"input_ids": given, "attention_mask": torch.ones_like(given)}


def test_a_checkpoints_generation_config_does_not_apply(folder: Path, model: Any, tmp_path: Path) -> None:
    rows = [record(i, tmp_path, style={"style": "headline"}) for i in range(2)]
    collator: Any = Questions(folder)
    seen = head_inputs(model)
    plain = TransformersRollout(collator, temperature=0, max_answer_tokens=12).sample(model, rows)
    assert {shape[1] for shape in seen} == {1}, "the prompt's logits are not made for sampling"
    torch.manual_seed(3)
    drawn = TransformersRollout(collator, temperature=1.0, max_answer_tokens=12).sample(model, rows)
    biased = GenerationConfig(
        repetition_penalty=7.0,
        no_repeat_ngram_size=1,
        min_p=0.99,
        top_k=1,
        typical_p=0.1,
        eos_token_id=[plain[0].ids[0], plain[1].ids[0]],
        suppress_tokens=[token for answer in plain for token in answer.ids],
        begin_suppress_tokens=[plain[0].ids[0]],
        max_new_tokens=1,
    )
    for one in (model, unwrap_peft(model)):
        one.generation_config = biased
    assert TransformersRollout(collator, temperature=0, max_answer_tokens=12).sample(model, rows) == plain
    torch.manual_seed(3)
    assert TransformersRollout(collator, temperature=1.0, max_answer_tokens=12).sample(model, rows) == drawn
    assert model.generation_config is unwrap_peft(model).generation_config is biased, "it is left as it was"


def test_a_server_is_handed_the_names_that_it_loads(folder: Path, model: Any, tmp_path: Path) -> None:
    """Those of the files that vLLM loads first: Mistral's for Voxtral, which are what an export writes."""
    family = family_of_folder(folder)
    if not family.takes_audio:
        return  # a text model samples in the process that trains
    handed = tmp_path / "handed"
    handed.mkdir()
    write_weights(model, handed, torch.float32)
    files = sorted(handed.glob(f"{family.weight_files}*.safetensors"))
    assert files == sorted(handed.iterdir())
    found = {name: value for file in files for name, value in load_file(file).items()}
    loads = export_copy(folder, [], tmp_path / "out") / (family.derived_files or ("model.safetensors",))[0]
    left = ("talker.", *family.unsynced_prefixes)
    expected = {name: value for name, value in load_file(loads).items() if not name.startswith(left)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_a_server_is_told_what_the_family_needs(folder: Path) -> None:
    given = family_options(folder)
    expected = {
        "voxtral": ["--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral"],
        "qwen2_5_omni": ["--limit-mm-per-prompt", '{"audio": 1, "image": 0, "video": 0}'],
    }
    assert given == expected.get(family_of_folder(folder).model_type, [])
