"""How the application is put together from settings and the registry."""

import asyncio
import logging
import time
from pathlib import Path

import pytest

from app.core.prompts import PROMPT_FORMAT
from app.engine.base import Engine
from app.engine.scripted import ScriptedEngine
from app.main import create_app
from app.models.model_source import choose_manifest, find_model
from app.service import Service
from app.settings import Settings
from model_repo.manifest import AudioLimits, Figures, Manifest
from model_repo.registry import RegistryError, UnknownModel
from tests.app.running_service import WaveDecoder, settings_for, until


def register(
    root: Path,
    name: str,
    version: str,
    score: float | None,
    prompt_format: int = PROMPT_FORMAT,
    parts: dict[str, str] | None = None,
) -> Manifest:
    manifest = Manifest(
        name=name,
        version=version,
        kind="cascade" if name == "two-steps" else "audio-llm",
        architecture="Test",
        description="For a test.",
        languages=["en", "de"],
        prompt_format=prompt_format,
        context_tokens=1000,
        audio=AudioLimits(max_seconds=45),
        stage="sft",
        parts=parts or {},
        weights={},
        figures=None if score is None else Figures(score=score, command="make", result="results.json"),
    )
    manifest.write(root / name / version)
    return manifest


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    register(tmp_path, "hears", "1", 0.3)
    register(tmp_path, "hears", "2", 0.6)
    register(tmp_path, "two-steps", "1", 0.5)
    return tmp_path


def make_service(settings: Settings) -> Service:
    service: Service = create_app(settings, decoder=WaveDecoder()).state.service
    return service


def test_the_best_measured_model_is_the_default(registry: Path) -> None:
    service = make_service(settings_for(model_repo=registry))
    assert service.default_model.id == "hears@2"
    assert [model.id for model in service.models.known_models] == ["hears@1", "hears@2", "two-steps@1"]
    assert service.default_model.max_seconds == 45
    assert service.default_model.languages == ("en", "de")
    assert service.default_model.figures["score"] == 0.6
    assert service.default_model.created > 1_700_000_000


@pytest.mark.parametrize(
    ("asked", "found"),
    [("hears", "hears@2"), ("hears@1", "hears@1"), ("two-steps", "two-steps@1"), ("scripted", "scripted@1")],
)
def test_another_is_chosen_by_name(registry: Path, asked: str, found: str) -> None:
    assert make_service(settings_for(model_repo=registry, model=asked)).default_model.id == found


def test_a_scripted_service_lists_the_registry_too(registry: Path) -> None:
    service = make_service(settings_for(model_repo=registry, model="scripted"))
    assert [model.id for model in service.models.known_models] == ["scripted@1", "hears@1", "hears@2", "two-steps@1"]
    assert isinstance(find_model(service.settings, "scripted").build_engine(), ScriptedEngine)


def test_an_unknown_model_stops_the_start(registry: Path) -> None:
    with pytest.raises(UnknownModel, match="hears@2"):
        choose_manifest(settings_for(model_repo=registry), "none")


@pytest.mark.parametrize(
    ("models", "weights"),
    [
        ("hears@1=10", {"hears@2": 100, "hears@1": 10}),
        ("hears@2=90,hears@1=10,two-steps=0", {"hears@2": 90, "hears@1": 10, "two-steps@1": 0}),
        ("hears=5", {"hears@2": 5}),
    ],
)
async def test_further_models_are_loaded_with_their_weights(
    registry: Path, monkeypatch: pytest.MonkeyPatch, models: str, weights: dict[str, float]
) -> None:
    monkeypatch.setattr("app.models.model_source.build_engine", lambda *_: ScriptedEngine())
    service = make_service(settings_for(model_repo=registry, models=models))
    await service.start()
    await until(lambda: all(model.state == "ready" for model in service.models.by_id.values()), seconds=30)
    assert {id_: model.weight for id_, model in service.models.by_id.items()} == weights
    await service.stop()


@pytest.mark.parametrize(
    ("models", "said"),
    [("hears@1=10,hears@1=20", "twice"), ("hears,hears@2", "twice"), ("hears=0,two-steps=5", "the weight 0")],
)
def test_models_that_make_no_sense_stop_the_start(registry: Path, models: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_app(settings_for(model_repo=registry, models=models))


def test_an_unknown_further_model_stops_the_start(registry: Path) -> None:
    with pytest.raises(UnknownModel, match="none"):
        create_app(settings_for(model_repo=registry, models="none=5"))


def test_a_model_trained_on_other_prompts_stops_the_start(tmp_path: Path) -> None:
    register(tmp_path, "old", "1", 0.9, prompt_format=PROMPT_FORMAT + 1)
    with pytest.raises(RegistryError, match="prompt format"):
        create_app(settings_for(model_repo=tmp_path))


async def test_the_engine_is_built_while_the_service_already_lives(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def build(manifest: Manifest, settings: Settings, urls: list[str]) -> Engine:
        built.append(manifest.id)
        return ScriptedEngine()

    monkeypatch.setattr("app.models.model_source.build_engine", build)
    ready: list[bool] = []
    app = create_app(settings_for(model_repo=registry), decoder=WaveDecoder(), on_ready=lambda: ready.append(True))
    service: Service = app.state.service
    await service.start()
    assert not service.is_ready
    await service.wait_until_started()
    assert (service.is_ready, ready, built) == (True, [True], ["hears@2"])
    await service.stop()
    await service.stop()
    assert not service.is_ready


async def test_while_it_loads_it_says_so(
    registry: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(manifest: Manifest, settings: Settings, urls: list[str]) -> Engine:
        until = time.monotonic() + 20
        while caplog.text.count("hears@2 is still loading after") < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return ScriptedEngine()

    monkeypatch.setattr("app.models.model_source.build_engine", build)
    monkeypatch.setattr("app.models.loaded_model.LOADING_LOG_SECONDS", 0.01)
    service: Service = create_app(settings_for(model_repo=registry), decoder=WaveDecoder()).state.service
    with caplog.at_level(logging.INFO):
        await service.start()
        await service.wait_until_started()
        said = caplog.text
        await asyncio.sleep(0.05)
    assert "Loading hears@2. This takes" in said
    assert said.count("hears@2 is still loading after") >= 2
    assert "hears@2 is ready after" in caplog.text
    assert caplog.text == said, "and no more once it is ready"
    await service.stop()


async def test_a_checkpoint_that_cannot_be_built_fails_the_service(
    registry: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(manifest: Manifest, settings: Settings, urls: list[str]) -> Engine:
        raise RegistryError("SHA-256 should be a, found b")

    monkeypatch.setattr("app.models.model_source.build_engine", build)
    ended: list[str] = []
    service: Service = create_app(
        settings_for(model_repo=registry),
        decoder=WaveDecoder(),
        on_ready=lambda: ended.append("ready"),
        on_failure=lambda: ended.append("failed"),
    ).state.service
    with caplog.at_level(logging.ERROR):
        await service.start()
        await service.wait_until_started()
    assert ended == ["failed"]
    assert "SHA-256 should be a, found b" in caplog.text
    await service.stop()
