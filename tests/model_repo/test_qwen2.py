"""Qwen2.5 from its GGUF file: a tiny one written here, and the real one's tokenizer and template."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer

from app.core.prompts import Style, instruction, notes_messages, transcript_messages
from app.engine.remote.chat_tokenizer import ChatTokenizer
from model_repo import registry
from model_repo.assemble import companion_files
from model_repo.gguf_model import GgufModel
from model_repo.qwen2 import build_qwen2

HIDDEN, INNER, HEADS, KV_HEADS = 64, 96, 4, 2
KV = HIDDEN // HEADS * KV_HEADS
BLOCK = {
    "attn_norm.weight": (HIDDEN,),
    "attn_q.weight": (HIDDEN, HIDDEN),
    "attn_q.bias": (HIDDEN,),
    "attn_k.weight": (KV, HIDDEN),
    "attn_k.bias": (KV,),
    "attn_v.weight": (KV, HIDDEN),
    "attn_v.bias": (KV,),
    "attn_output.weight": (HIDDEN, HIDDEN),
    "ffn_norm.weight": (HIDDEN,),
    "ffn_gate.weight": (INNER, HIDDEN),
    "ffn_up.weight": (INNER, HIDDEN),
    "ffn_down.weight": (HIDDEN, INNER),
}
TOKENS = ["a", "b", "ab", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "[PAD7]"]
TYPES = [1, 1, 1, 3, 3, 3, 4, 5]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A GGUF file of Qwen2's family with one layer, and the values that are in it."""
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(str(file), "qwen2")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(1e6)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(TYPES)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(5)
    writer.add_pad_token_id(3)
    writer.add_chat_template("{% for message in messages %}{{ message.role + ':' + message.content }}{% endfor %}")
    draw = np.random.default_rng(7)
    shapes = {"token_embd.weight": (len(TOKENS), HIDDEN), "output.weight": (len(TOKENS), HIDDEN)}
    shapes |= {"output_norm.weight": (HIDDEN,)} | {f"blk.0.{name}": shape for name, shape in BLOCK.items()}
    values = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, value in values.items():
        if len(shapes[name]) == 2:  # a matrix, which published files hold quantized
            stored = gguf.quantize(value, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, stored, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            values[name] = gguf.dequantize(stored, gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file, values


def test_every_weight_has_its_name_and_what_is_not_quantized_is_kept_exactly(
    written: tuple[Path, dict[str, Any]],
) -> None:
    file, values = written
    tensors = build_qwen2(GgufModel(file)).tensors
    attention = {f"model.layers.0.self_attn.{p}_proj.{w}" for p in "qkv" for w in ("weight", "bias")}
    assert attention | {"lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"} <= set(tensors)
    assert len(tensors) == len(values)
    # Query and key rows stand as they are: llama.cpp reorders those of Llama only.
    for name, stored in (("q_proj.weight", "attn_q.weight"), ("k_proj.weight", "attn_k.weight")):
        found = tensors[f"model.layers.0.self_attn.{name}"]
        assert found.dtype == np.float16
        np.testing.assert_allclose(found, values[f"blk.0.{stored}"], rtol=1e-3)
    np.testing.assert_array_equal(tensors["model.layers.0.self_attn.k_proj.bias"], values["blk.0.attn_k.bias"])
    assert not np.array_equal(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])


def test_an_output_matrix_that_the_file_lacks_is_the_embedding(written: tuple[Path, dict[str, Any]]) -> None:
    whole = build_qwen2(GgufModel(written[0]))
    assert json.loads(whole.files["config.json"])["tie_word_embeddings"] is False
    model = GgufModel(written[0])
    model._reader.tensors = [tensor for tensor in model._reader.tensors if tensor.name != "output.weight"]
    tied = build_qwen2(model)
    assert json.loads(tied.files["config.json"])["tie_word_embeddings"] is True
    assert whole.tensors.keys() - tied.tensors.keys() == {"lm_head.weight"}


def test_a_model_of_another_family_is_refused_by_name(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "x.gguf"), "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="'mamba'; only llama and qwen2 can be read"):
        GgufModel(tmp_path / "x.gguf")


def test_the_padding_of_the_table_is_no_token_and_control_tokens_are(written: tuple[Path, dict[str, Any]]) -> None:
    files = build_qwen2(GgufModel(written[0])).files
    tokenizer = Tokenizer.from_str(files["tokenizer.json"])
    assert tokenizer.token_to_id("[PAD7]") is None
    assert tokenizer.encode("ab<|im_end|>").ids == [2, 5]
    assert tokenizer.decode([2, 5]) == "ab"
    config = json.loads(files["config.json"])
    assert (config["vocab_size"], config["eos_token_id"]) == (len(TOKENS), 5)


@pytest.fixture(scope="module")
def tokens() -> ChatTokenizer:
    """The real one's, verified against the registry's manifest."""
    files = companion_files(registry.resolve_model(registry.REGISTRY_ROOT, "cascade-base@1"))
    return ChatTokenizer(files["tokenizer.json"], files["chat_template.jinja"])


def test_the_real_tokenizer_counts_as_qwens_does(tokens: ChatTokenizer) -> None:
    # Ids of Qwen2.5's published tokenizer.
    assert tokens._tokenizer.encode("Hello world").ids == [9707, 1879]
    assert tokens._tokenizer.encode("<|im_end|>").ids == [151645]
    assert tokens.count_tokens("2049") == 4, "each digit is a token of its own"
    for text in ("Zürich, naïve café — “quoted”, 東京, 🙂", "  two\ttabs\n\nand lines\n", "Привет, мир"):
        assert tokens._tokenizer.decode(tokens._tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_a_prompt_is_the_same_whether_its_texts_are_strings_or_parts(tokens: ChatTokenizer) -> None:
    messages = notes_messages(instruction(Style()), "[0:00:00]\n- Anna calls.")
    flat = [{"role": one["role"], "content": one["content"][0]["text"]} for one in messages]
    assert tokens.token_ids(messages) == tokens.token_ids(flat)
    prompt = tokens._tokenizer.decode(
        tokens.token_ids(transcript_messages("Be brief.", "Hi.")), skip_special_tokens=False
    )
    assert prompt.startswith("<|im_start|>system\nYou summarize recorded speech.")
    assert prompt.endswith("</transcript>\nBe brief.<|im_end|>\n<|im_start|>assistant\n")
