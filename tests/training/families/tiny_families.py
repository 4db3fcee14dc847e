"""A checkpoint folder of each family as a user has it on disk: real layout, random weights, a thousandth of the size.

The tokenizer knows bytes and the family's special tokens. Attention heads are 32 wide, vLLM's smallest on CPU.
"""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import sinusoids

from training.families import UnknownFamily, family_by_model_type, family_of_folder

BYTES = 256
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "vocab_size": 320,
    "tie_word_embeddings": False,
}
WHISPER = {"num_mel_bins": 80, "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}


def tokenizer(specials: list[str], **names: Any) -> PreTrainedTokenizerFast:
    """A token for every byte, and the specials after them. names: `eos_token` and so on."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert len(alphabet) == BYTES
    inner = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(special, normalized=False) for special in specials])
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def spread(model: Any) -> dict[str, torch.Tensor]:
    """The model's state, each matrix at its fan-in: Transformers' spread of 0.02 hides every difference."""
    torch.manual_seed(7)
    state = {}
    for name, value in model.state_dict().items():
        if value.ndim > 1 and "embed_positions" not in name:
            value = torch.randn_like(value) * (1.0 if "embed_tokens" in name else value[0].numel() ** -0.5)
        elif "embed_positions" in name:  # as every Whisper has them
            value = sinusoids(*value.shape)
        state[name] = value.clone().contiguous()
    return state


def write(model: Any, folder: Path, more: dict[str, torch.Tensor] | None = None, **config: Any) -> None:
    """Weights under the names of the family's files, and the configuration. more: weights beside the model's."""
    try:
        on_disk = family_by_model_type(model.config.model_type).checkpoint_name
    except UnknownFamily:  # a teacher, whose names are Transformers'
        on_disk = str
    save_file(
        {on_disk(name): value for name, value in spread(model).items()} | (more or {}),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    written = model.config.to_dict() | {"architectures": [type(model).__name__], "dtype": "float32"} | config
    (folder / "config.json").write_text(json.dumps(written, default=str))
    ends = {"eos_token_id": model.config.get_text_config().eos_token_id, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(ends))


def teacher(base: Path, folder: Path) -> None:
    """A text model with the base's tokenizer, its turns ended as the student's are."""
    folder.mkdir()
    for file in base.iterdir():
        if "token" in file.name or "tekken" in file.name or "template" in file.name:
            shutil.copyfile(file, folder / file.name)
    kind = (MistralConfig, MistralForCausalLM) if (base / "tekken.json").is_file() else (LlamaConfig, LlamaForCausalLM)
    write(kind[1](kind[0](**TEXT, head_dim=32)), folder)
    family = family_of_folder(base)
    if family.end_of_turn:
        family.tokenizer(base).save_pretrained(folder)


def qwen2_audio(folder: Path) -> None:
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

    names = tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"],
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    extractor = WhisperFeatureExtractor(feature_size=80)
    processor = Qwen2AudioProcessor(extractor, names)
    names.chat_template = processor.chat_template
    processor.save_pretrained(folder)
    ends = {"eos_token_id": names.convert_tokens_to_ids("<|im_end|>"), "pad_token_id": names.pad_token_id}
    config = Qwen2AudioConfig(
        audio_config=WHISPER,
        text_config=TEXT | {"model_type": "qwen2"} | ends,
        audio_token_index=processor.audio_token_id,
    )
    write(Qwen2AudioForConditionalGeneration(config), folder)


def qwen2_5_omni(folder: Path) -> None:
    from transformers import Qwen2_5OmniProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    names = omni_tokenizer()
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=300)
    Qwen2_5OmniProcessor(
        Qwen2VLImageProcessor(), Qwen2VLVideoProcessor(), extractor, names, chat_template=OMNI_TEMPLATE
    ).save_pretrained(folder)
    qwen2_5_omni_weights(folder)


OMNI_NAMED = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def omni_tokenizer() -> PreTrainedTokenizerFast:
    names = tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *OMNI_NAMED.values()],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=OMNI_NAMED,
    )
    names.chat_template = OMNI_TEMPLATE
    return names


def qwen2_5_omni_weights(folder: Path) -> None:
    """Without the processor, which needs torchvision."""
    from transformers import (
        Qwen2_5OmniConfig,
        Qwen2_5OmniThinkerConfig,
        Qwen2_5OmniThinkerForConditionalGeneration,
    )

    names = omni_tokenizer()
    ids = {name: names.convert_tokens_to_ids(token) for name, token in OMNI_NAMED.items()}
    ends = {"eos_token_id": names.eos_token_id, "pad_token_id": names.pad_token_id}
    thinker = Qwen2_5OmniThinkerConfig(
        audio_config=WHISPER | {"output_dim": 64, "n_window": 100},
        vision_config={"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64},
        text_config=TEXT | ends | {"rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6]}},
        audio_token_index=ids["audio_token"],
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
    )
    whole = Qwen2_5OmniConfig(thinker_config=thinker.to_dict()).to_dict()
    write(
        Qwen2_5OmniThinkerForConditionalGeneration(thinker),
        folder,
        {"talker.head.weight": torch.ones(2)},
        **whole | {"architectures": ["Qwen2_5OmniModel"], "model_type": "qwen2_5_omni"},
    )


OMNI_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}{%- for part in message['content'] -%}
{{- part['text'] if part['type'] == 'text' else '<|audio_bos|><|AUDIO|><|audio_eos|>' -}}
{%- endfor -%}{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def voxtral(folder: Path) -> None:
    from transformers import AutoTokenizer, VoxtralConfig, VoxtralForConditionalGeneration, VoxtralProcessor

    folder.joinpath("tekken.json").write_text(json.dumps(tekken()))
    audio = {
        "num_mel_bins": 128,  # as Mistral's own code fixes it
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 256,
    }
    text = TEXT | {"model_type": "llama", "head_dim": 32, "rms_norm_eps": 1e-5, "eos_token_id": 2, "bos_token_id": 1}
    config = VoxtralConfig(audio_config=audio, text_config=text, audio_token_id=24)
    write(VoxtralForConditionalGeneration(config), folder)
    processor = VoxtralProcessor(WhisperFeatureExtractor(feature_size=128), AutoTokenizer.from_pretrained(folder))
    processor.feature_extractor.save_pretrained(folder)
    encoder = {
        "dim": 64,
        "n_layers": 2,
        "head_dim": 32,
        "hidden_dim": 256,
        "n_heads": 2,
        "vocab_size": 320,
        "max_source_positions": 1500,
        "audio_encoding_args": {"sampling_rate": 16_000, "num_mel_bins": 128, "hop_length": 160, "window_size": 400},
    }
    params = {
        "dim": TEXT["hidden_size"],
        "n_layers": TEXT["num_hidden_layers"],
        "head_dim": 32,
        "hidden_dim": TEXT["intermediate_size"],
        "n_heads": TEXT["num_attention_heads"],
        "n_kv_heads": TEXT["num_key_value_heads"],
        "rope_theta": config.text_config.rope_parameters["rope_theta"],
        "norm_eps": 1e-5,
        "vocab_size": TEXT["vocab_size"],
        "tied_embeddings": False,
        "max_position_embeddings": TEXT["max_position_embeddings"],
        "multimodal": {"whisper_model_args": {"encoder_args": encoder, "downsample_args": {"downsample_factor": 4}}},
    }
    (folder / "params.json").write_text(json.dumps(params))
    (folder / "consolidated.safetensors").write_bytes(b"as downloaded")


def tekken() -> dict[str, Any]:
    """Mistral's tokenizer file, with bytes for its vocabulary."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    names = [str(token["token_str"]) for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    names += [f"<SPECIAL_{i}>" for i in range(len(names), 24)] + ["[AUDIO]", "[BEGIN_AUDIO]"]
    names += [f"<SPECIAL_{i}>" for i in range(len(names), 34)] + ["[TRANSCRIBE]"]
    names += [f"<SPECIAL_{i}>" for i in range(len(names), TEXT["vocab_size"] - BYTES)]  # none to write that is no token
    return {
        "config": {
            "pattern": r"[\s\S]",
            "num_vocab_tokens": BYTES,
            "default_vocab_size": BYTES + len(names),
            "default_num_special_tokens": len(names),
            "version": "v7",
        },
        "vocab": [
            {"rank": i, "token_bytes": base64.b64encode(bytes([i])).decode(), "token_str": None} for i in range(BYTES)
        ],
        "special_tokens": [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(names)],
        "audio": {
            "sampling_rate": 16_000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }


def granite_speech(folder: Path) -> None:
    from transformers import GraniteSpeechFeatureExtractor, GraniteSpeechProcessor

    names = granite_tokenizer()
    processor = GraniteSpeechProcessor(GraniteSpeechFeatureExtractor(), names, chat_template=GRANITE_TEMPLATE)
    processor.save_pretrained(folder)
    granite_speech_weights(folder)


def granite_tokenizer() -> PreTrainedTokenizerFast:
    names = tokenizer(
        ["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|audio|>"],
        eos_token="<|end_of_text|>",
        pad_token="<|end_of_text|>",
    )
    names.chat_template = GRANITE_TEMPLATE
    return names


def granite_speech_weights(folder: Path) -> None:
    """Without the processor, which needs torchaudio."""
    from transformers import GraniteSpeechConfig, GraniteSpeechForConditionalGeneration

    names = granite_tokenizer()
    scales = {"embedding_multiplier": 1.5, "residual_multiplier": 0.8, "attention_multiplier": 0.2, "logits_scaling": 2}
    config = GraniteSpeechConfig(
        text_config=TEXT | scales | {"model_type": "granite", "eos_token_id": names.eos_token_id},
        encoder_config={"hidden_dim": 64, "num_layers": 2, "num_heads": 2, "output_dim": 12},
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 96,
            "encoder_hidden_size": 64,
            "cross_attention_frequency": 1,
        },
        audio_token_index=names.convert_tokens_to_ids("<|audio|>"),
        has_lora_adapter=False,
        tie_word_embeddings=False,
    )
    write(GraniteSpeechForConditionalGeneration(config), folder)


# The messages' texts with Granite's marks; like theirs, it takes no parts.
GRANITE_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}
"""

BUILDERS: dict[str, Callable[[Path], None]] = {
    "granite_speech": granite_speech,
    "qwen2_5_omni": qwen2_5_omni,
    "qwen2_audio": qwen2_audio,
    "voxtral": voxtral,
}

# Those whose processor is not to be had everywhere, without it.
WEIGHTS: dict[str, Callable[[Path], None]] = BUILDERS | {
    "granite_speech": granite_speech_weights,
    "qwen2_5_omni": qwen2_5_omni_weights,
}
