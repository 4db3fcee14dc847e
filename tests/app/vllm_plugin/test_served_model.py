"""What the plugin makes of a server's model: one of the registry, one from a folder or the hub's cache, or none."""

import json
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.errors import Unavailable
from app.engine.audio_llm import AudioLlmEngine
from app.engine.vllm_attached import AttachedVllmChatModel
from app.settings import Settings
from app.vllm_plugin.served_model import UnservableModel, find_served_model
from model_repo import registry
from model_repo.families import UnservableCheckpoint

MANIFEST = registry.resolve_model(registry.REGISTRY_ROOT, "speechsum-tiny")


def engine_client(model: str, max_model_len: int = MANIFEST.context_tokens) -> Any:
    config = SimpleNamespace(model=model, max_model_len=max_model_len)
    return SimpleNamespace(vllm_config=SimpleNamespace(model_config=config, lora_config=None))


def checkpoint(folder: Path, **config: Any) -> str:
    folder.mkdir(parents=True)
    folder.joinpath("config.json").write_text(json.dumps(config))
    return str(folder)


def test_a_model_of_the_registry_is_known_by_its_served_name(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "anything", model_type="llama")
    found = find_served_model(engine_client(folder), Namespace(served_model_name=[MANIFEST.id]), Settings())
    assert found.info.id == MANIFEST.id
    assert found.info.max_pass_seconds == MANIFEST.audio.trained_seconds
    engine = found.build_engine()
    assert isinstance(engine, AudioLlmEngine)
    assert engine.context_tokens == MANIFEST.context_tokens


def test_a_model_of_the_registry_is_known_by_its_folder(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / MANIFEST.name / MANIFEST.version, model_type="llama")
    found = find_served_model(engine_client(folder), Namespace(served_model_name=None), Settings())
    assert found.info.id == MANIFEST.id


def test_a_server_with_too_little_room_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "anything")
    with pytest.raises(UnservableModel, match="--max-model-len 8192"):
        find_served_model(engine_client(folder, 2048), Namespace(served_model_name=[MANIFEST.id]), Settings())


@pytest.mark.parametrize(("room", "used"), [(2048, 2048), (32_768, 8192)])
def test_a_folder_of_a_known_family_is_served_with_the_room_that_vllm_has(tmp_path: Path, room: int, used: int) -> None:
    folder = checkpoint(tmp_path / "My Model", model_type="qwen2_audio", text_config={"max_position_embeddings": 8192})
    found = find_served_model(engine_client(folder, room), Namespace(served_model_name=["q"]), Settings())
    assert found.info.id == "my-model@local"
    assert found.build_engine().context_tokens == used


def test_a_text_model_that_is_not_of_the_registry_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "text", model_type="llama")
    with pytest.raises(UnservableCheckpoint, match="'llama'"):
        find_served_model(engine_client(folder), Namespace(served_model_name=None), Settings())


def test_a_model_that_is_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnservableModel, match="neither a folder nor in the cache"):
        find_served_model(engine_client("nobody/has-this"), Namespace(served_model_name=None), Settings())


async def test_the_engine_is_the_servers_own_and_outlives_the_service(tmp_path: Path) -> None:
    stopped = engine_client("any")  # it has no `shutdown`, so that calling it would fail
    model = AttachedVllmChatModel(stopped, tmp_path, 100, Settings().engine, audio=True)
    model._engine = stopped
    await model.stop()
    await model.stop()
    with pytest.raises(Unavailable):
        await model.check_health()
