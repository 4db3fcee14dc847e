"""The model families the pipeline trains, each a file that says what differs: found by the `model_type` of a
checkpoint's `config.json`. What is not listed here cannot be trained; what is listed has gone from training through
export into vLLM and given Transformers' greedy tokens there (tests/training/families).
"""

import json
from pathlib import Path
from typing import Any

from training.families.audioflamingo3 import AudioFlamingo3
from training.families.base import Family
from training.families.granite_speech import GraniteSpeech
from training.families.llama import Llama
from training.families.qwen2_5_omni import Qwen25Omni
from training.families.qwen2_audio import Qwen2Audio
from training.families.voxtral import Voxtral

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (AudioFlamingo3(), GraniteSpeech(), Llama(), Qwen25Omni(), Qwen2Audio(), Voxtral())
}


class UnknownFamily(ValueError):
    """A checkpoint is of no family that can be trained; the message says which there are."""


def family_by_model_type(model_type: str) -> Family:
    """The family of a `model_type`, a folder's or an opened model's. Raises `UnknownFamily`."""
    for family in FAMILIES.values():
        if family.transformers_model_type == model_type:
            return family
    if model_type not in FAMILIES:
        raise UnknownFamily(f"model type {model_type!r} cannot be trained; these can: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[model_type]


def family_of_folder(folder: Path) -> Family:
    """The family of a checkpoint folder. Raises `UnknownFamily`."""
    file = folder / "config.json"
    if not file.is_file():
        raise UnknownFamily(f"{folder} holds no config.json: not a checkpoint folder")
    return family_by_model_type(str(json.loads(file.read_text()).get("model_type")))


def tensors_for_family(family: Family, tensors: dict[str, Any]) -> dict[str, Any]:
    """What a model of this family takes of an adapter's tensors: all of them; a text model, of the adapter of one that
    hears, the language model's, under its own names. A head of its own is left: a twin's is its embedding.
    """
    for other in FAMILIES.values():
        prefix = other.checkpoint_name(other.language_model)
        found = {"model." + name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
        if other.takes_audio and found and not family.takes_audio:
            return found
    return tensors


__all__ = ["FAMILIES", "Family", "UnknownFamily", "family_by_model_type", "family_of_folder", "tensors_for_family"]
