"""The model families that can be trained, each in a file that says what is special about it. A checkpoint's family is
found by the `model_type` of its `config.json`. Every family in this list has been trained and exported, and gave the
same greedy tokens in vLLM as in Transformers (tests/training/families). Others cannot be trained.
"""

import json
from pathlib import Path
from typing import Any

from training.families.audioflamingo3 import AudioFlamingo3
from training.families.base import Family
from training.families.granite_speech import GraniteSpeech
from training.families.llama import Llama
from training.families.qwen2 import Qwen2
from training.families.qwen2_5_omni import Qwen25Omni
from training.families.qwen2_audio import Qwen2Audio
from training.families.voxtral import Voxtral

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (AudioFlamingo3(), GraniteSpeech(), Llama(), Qwen2(), Qwen25Omni(), Qwen2Audio(), Voxtral())
}


class UnknownFamily(ValueError):
    """The checkpoint's family cannot be trained. The message lists those that can."""


def family_by_model_type(model_type: str) -> Family:
    """Return the family of a `model_type`, of a folder or of an opened model. Raises UnknownFamily."""
    for family in FAMILIES.values():
        if family.transformers_model_type == model_type:
            return family
    if model_type not in FAMILIES:
        raise UnknownFamily(f"model type {model_type!r} cannot be trained; these can: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[model_type]


def family_of_folder(folder: Path) -> Family:
    """Return the family of a checkpoint folder. Raises UnknownFamily."""
    file = folder / "config.json"
    if not file.is_file():
        raise UnknownFamily(f"{folder} has no config.json, so it is not a checkpoint folder")
    return family_by_model_type(str(json.loads(file.read_text()).get("model_type")))


def tensors_for_family(family: Family, tensors: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors of an adapter that a model of this family uses. These are all of them, except that a text
    model uses only the language model's tensors of an audio model's adapter, under its own names, and without the
    output head: a text twin's head is its embedding.
    """
    for other in FAMILIES.values():
        prefix = other.checkpoint_name(other.language_model)
        found = {"model." + name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
        if other.takes_audio and found and not family.takes_audio:
            return found
    return tensors


__all__ = ["FAMILIES", "Family", "UnknownFamily", "family_by_model_type", "family_of_folder", "tensors_for_family"]
