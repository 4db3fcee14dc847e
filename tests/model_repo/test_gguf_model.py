from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model_repo.architectures import AUDIO_TOKEN, AUDIO_TOKEN_ID, END_OF_TURN_TOKEN, PAD_TOKEN
from model_repo.gguf_model import GgufModel, _unpermute_rotary
from tests.model_repo.fakes import smollm

LAYERS, HIDDEN, INNER, VOCABULARY, KV = 30, 576, 1536, 49_152, 192


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return Tokenizer.from_str(smollm().tokenizer_json())


@pytest.mark.parametrize(
    "text",
    [
        "Please call Anna on 0171 234, by Friday.",
        "  two spaces,\ttabs\n\nand lines\n",
        "Zürich, naïve café — “quoted”, 東京, 🙂, ﷺ",
        "£1,234.56 at 10:45 a.m.",
    ],
)
def test_text_comes_back_as_it_was(text: str, tokenizer: Any) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_digits_are_tokens_one_by_one(tokenizer: Any) -> None:
    tokens = tokenizer.encode("room 2049, 1999").tokens
    assert [t for t in tokens if any(c.isdigit() for c in t)] == list("20491999")


def test_special_tokens_are_single_and_have_their_numbers(tokenizer: Any) -> None:
    ids = tokenizer.encode(f"<|im_start|>user\nHi{END_OF_TURN_TOKEN}{PAD_TOKEN}{AUDIO_TOKEN}").ids
    assert ids[0] == 1
    assert ids[-3:] == [2, 0, AUDIO_TOKEN_ID]
    assert tokenizer.get_vocab_size() == VOCABULARY
    # Only control tokens are special: an ordinary word must not be cut out of the text by its look.
    assert tokenizer.decode(ids) == "user\nHi"


def test_merges_make_whole_words(tokenizer: Any) -> None:
    assert tokenizer.encode("The recording is a summary").tokens == ["The", "Ġrecording", "Ġis", "Ġa", "Ġsummary"]


ARRAYS: dict[str, list[Any]] = {
    "texts": ["a", "", "Zürich", "東京"],
    "numbers": [1, -2, 3],
    "shares": [0.5, -1.25],
    "switches": [True, False],
}


@pytest.mark.parametrize("order", list(gguf.GGUFEndian))
def test_every_kind_of_metadata_is_read(order: gguf.GGUFEndian, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "x.gguf"), "llama", endianess=order)
    for key, value in ARRAYS.items():
        writer.add_array(key, value)
    writer.add_string("after them", "text")
    writer.add_uint32("number", 7)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = GgufModel(tmp_path / "x.gguf")
    assert {key: model.field(key) for key in ARRAYS} == ARRAYS
    assert (model.field("after them"), model.field("number")) == ("text", 7)


def permute(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """`LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py."""
    return (
        weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


@pytest.mark.parametrize(("heads", "size", "columns"), [(1, 8, 3), (9, 64, 5), (3, 64, 7), (4, 6, 1)])
def test_the_rotary_order_is_put_back(heads: int, size: int, columns: int) -> None:
    rows = np.random.default_rng(heads).normal(size=(heads * size, columns)).astype(np.float32)
    assert not np.array_equal(permute(rows, heads), rows)
    np.testing.assert_array_equal(_unpermute_rotary(permute(rows, heads), heads), rows)


def test_weights_have_their_names_and_shapes_and_are_finite() -> None:
    tensors = smollm().tensors()
    shapes = {
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (KV, HIDDEN),
        "self_attn.v_proj": (KV, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    expected: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (VOCABULARY, HIDDEN), "norm.weight": (HIDDEN,)}
    expected |= {f"layers.{n}.{name}.weight": shape for n in range(LAYERS) for name, shape in shapes.items()}
    assert {name: value.shape for name, value in tensors.items()} == expected
    for name, value in tensors.items():
        assert value.dtype == np.float32
        assert value.flags.c_contiguous, name
        assert np.isfinite(value).all(), name
        assert 1e-3 < np.abs(value).mean() < 20, name
