"""The model families the pipeline trains, each a file that says what differs: found by the `model_type` of a
checkpoint's `config.json`. What is not listed here cannot be trained; what is listed has gone from training through
export into vLLM and given Transformers' greedy tokens there (tests/training/families).
"""

import json
from pathlib import Path

from training.families.audioflamingo3 import AudioFlamingo3
from training.families.family import Family
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


def family_named(model_type: str) -> Family:
    """The family of a `model_type`, a folder's or an opened model's. Raises `UnknownFamily`."""
    for family in FAMILIES.values():
        if family.opened_as == model_type:
            return family
    if model_type not in FAMILIES:
        raise UnknownFamily(f"model type {model_type!r} cannot be trained; these can: {', '.join(sorted(FAMILIES))}")
    return FAMILIES[model_type]


def family_in(folder: Path) -> Family:
    """The family of a checkpoint folder. Raises `UnknownFamily`."""
    file = folder / "config.json"
    if not file.is_file():
        raise UnknownFamily(f"{folder} holds no config.json: not a checkpoint folder")
    return family_named(str(json.loads(file.read_text()).get("model_type")))


__all__ = ["FAMILIES", "Family", "UnknownFamily", "family_in", "family_named"]
