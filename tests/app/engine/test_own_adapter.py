"""A checkpoint that brings an adapter along, as Granite Speech does: vLLM gets room for it.

That it is applied to prompts with audio is tested with a real engine in tests/test_hub_models.py.
"""

import json
from pathlib import Path

import pytest

from app.engine.vllm_options import max_lora_rank, own_adapter_folder
from app.settings import AdapterSettings


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with the configuration of an adapter of rank 40."""
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 40}))
    return tmp_path


def test_it_is_found_where_audio_is_heard(checkpoint: Path) -> None:
    assert own_adapter_folder(checkpoint, audio=True) == checkpoint
    assert own_adapter_folder(checkpoint, audio=False) is None
    (checkpoint / "adapter_config.json").unlink()
    assert own_adapter_folder(checkpoint, audio=True) is None


def test_vllm_reserves_room_for_it(checkpoint: Path) -> None:
    assert max_lora_rank(AdapterSettings()) == 0
    assert max_lora_rank(AdapterSettings(), checkpoint) == 64
    assert max_lora_rank(AdapterSettings(rank=100), checkpoint) == 128
    assert max_lora_rank(AdapterSettings(rank=8), checkpoint) == 64
