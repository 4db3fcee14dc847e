"""A hub on loopback that the processes of a test ask, and tiny files of listed models."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from model_repo import hub_download
from model_repo.hub_models import HUB_MODELS
from tests.model_repo.hub_stand_in import HubStandIn, serve_hub

QWEN, GRANITE, VOXTRAL = HUB_MODELS["qwen2-audio"], HUB_MODELS["granite-speech-2b"], HUB_MODELS["voxtral-mini"]
WEIGHTS = bytes(range(256)) * 4096  # a megabyte


def qwen_files(**more: bytes) -> dict[str, bytes]:
    """Files as they lie in the repository of Qwen2-Audio: what is served, and what is not."""
    config = {"model_type": "qwen2_audio", "text_config": {"max_position_embeddings": 8192}}
    return {
        "config.json": json.dumps(config).encode(),
        "preprocessor_config.json": json.dumps({"chunk_length": 30}).encode(),
        "merges.txt": b"a b\n",
        "model-00001-of-00002.safetensors": WEIGHTS,
        "model-00002-of-00002.safetensors": WEIGHTS[::-1],
        "README.md": b"# A card",
        "pytorch_model.bin": b"pickled",
        "modeling.py": b"raise SystemExit",
        "think/model.safetensors": b"another model",
    } | more


QWEN_SERVED = [
    "config.json",
    "merges.txt",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "preprocessor_config.json",
]


def use_hub_at(address: str, monkeypatch: pytest.MonkeyPatch, home: Any) -> None:
    """Let the processes that a test starts use the hub at an address, with a cache of the hub's own in `home`."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(hub_download, "OFFLINE_SETTING", "")


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A hub without repositories, which `fetch_hub_model` asks."""
    with serve_hub() as running:
        use_hub_at(running.address, monkeypatch, tmp_path_factory.mktemp("hub-home"))
        yield running


@pytest.fixture
def no_hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a hub at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    use_hub_at(address, monkeypatch, tmp_path_factory.mktemp("hub-home"))
    return address
