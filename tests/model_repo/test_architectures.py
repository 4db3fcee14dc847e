import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from jinja2 import Environment
from tokenizers import Tokenizer
from transformers import AudioFlamingo3Config, AudioFlamingo3ForConditionalGeneration, LlamaConfig, LlamaForCausalLM

from app.core.prompts import SYSTEM_PROMPT, audio_messages, transcript_messages
from model_repo import architectures
from model_repo.architectures import AUDIO_TOKEN, AUDIO_TOKEN_ID, CHAT_TEMPLATE, BaseCheckpoint
from model_repo.assemble import build_base_checkpoint
from tests.model_repo.fakes import smollm
from training.models.checkpoint import checkpoint_parameter_name


@pytest.fixture(scope="module", autouse=True)
def _opened_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "GgufModel", lambda _: smollm())  # seconds each time
        yield


@pytest.fixture(scope="module")
def llama() -> BaseCheckpoint:
    return build_base_checkpoint("llama", ["smollm2-135m-instruct-q4_1"])


@pytest.fixture(scope="module")
def audio() -> BaseCheckpoint:
    return build_base_checkpoint("audioflamingo3", ["whisper-tiny-en", "smollm2-135m-instruct-q4_1"])


def render_prompt(messages: Any) -> str:
    return Environment().from_string(CHAT_TEMPLATE).render(messages=messages, add_generation_prompt=True)


def test_the_language_model_knows_the_capital_of_france(llama: BaseCheckpoint) -> None:
    config = LlamaConfig.from_dict(json.loads(llama.files["config.json"]))
    model = LlamaForCausalLM.from_pretrained(
        None, config=config, state_dict={k: torch.from_numpy(v) for k, v in llama.tensors.items()}, dtype=torch.float32
    )
    tokenizer = Tokenizer.from_str(llama.files["tokenizer.json"])
    ids = torch.tensor([tokenizer.encode("The capital of France is").ids])
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
    assert tokenizer.decode([int(logits.argmax())]) == " Paris"


def test_the_audio_models_tensors_are_transformers(audio: BaseCheckpoint) -> None:
    config = AudioFlamingo3Config.from_dict(json.loads(audio.files["config.json"]))
    with torch.device("meta"):
        model = AudioFlamingo3ForConditionalGeneration(config)
    expected = {checkpoint_parameter_name("audioflamingo3", k): tuple(v.shape) for k, v in model.state_dict().items()}
    assert {name: value.shape for name, value in audio.tensors.items()} == expected


def test_the_audio_model_holds_the_language_model(audio: BaseCheckpoint, llama: BaseCheckpoint) -> None:
    for name, value in llama.tensors.items():
        np.testing.assert_array_equal(audio.tensors[f"language_model.{name}"], value)
    np.testing.assert_array_equal(
        audio.tensors["language_model.lm_head.weight"], llama.tensors["model.embed_tokens.weight"]
    )
    biases = [name for name in audio.tensors if name.startswith("language_model") and name.endswith("bias")]
    assert len(biases) == 90
    assert not any(audio.tensors[name].any() for name in biases)


def test_the_prompt_is_chat_markup_with_one_placeholder_before_the_instruction() -> None:
    assert render_prompt(audio_messages("Be brief.")) == (
        f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n"
        f"<|im_start|>user\n{AUDIO_TOKEN}\nBe brief.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert render_prompt(transcript_messages("Be brief.", "Hello.")).endswith(
        "<transcript>\nHello.\n</transcript>\nBe brief.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_placeholder_is_one_of_the_vocabularys_special_tokens(audio: BaseCheckpoint) -> None:
    added = {token["content"]: token["id"] for token in json.loads(audio.files["tokenizer.json"])["added_tokens"]}
    assert added[AUDIO_TOKEN] == AUDIO_TOKEN_ID == json.loads(audio.files["config.json"])["audio_token_id"]
