"""Models from a hub: found by name before they are downloaded, downloaded when the engine is built, listed."""

from pathlib import Path

import pytest

from app.cli import main
from app.core.errors import Unavailable
from app.engine.audio_llm import AudioLlmEngine
from app.main import create_app
from app.models import model_source
from app.models.model_source import find_model
from app.settings import Settings
from model_repo.hub_models import HUB_MODELS, HubModel, downloaded_folder
from model_repo.registry import UnknownModel
from tests.app.running_service import until
from tests.model_repo.hub_fixtures import QWEN, qwen_files
from tests.model_repo.hub_stand_in import HubStandIn


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a cache of the test's own, which leave the hub on."""
    return Settings(cache_dir=tmp_path, hub=None)


def test_a_model_is_known_before_it_is_downloaded(hub: HubStandIn, settings: Settings) -> None:
    info = find_model(settings, "qwen2-audio").info
    assert (info.id, info.license, info.max_seconds) == ("qwen2-audio@0a095220c30b", "Apache-2.0", 30.0)
    assert info.languages == QWEN.family.languages
    assert not info.trained or info.stage is None
    assert find_model(settings, info.id).info == info
    assert hub.requests == [], "nothing is downloaded before the engine is built"


def test_building_the_engine_downloads_the_model(hub: HubStandIn, settings: Settings) -> None:
    hub.add(QWEN, qwen_files())
    assert isinstance(find_model(settings, "qwen2-audio").build_engine(), AudioLlmEngine)
    assert downloaded_folder(QWEN, settings.cache_dir)
    asked = len(hub.requests)
    assert isinstance(find_model(settings, "qwen2-audio").build_engine(), AudioLlmEngine)
    assert len(hub.requests) == asked


def test_a_model_that_takes_less_audio_than_listed_is_not_served_with_the_listed_limit(
    hub: HubStandIn, settings: Settings
) -> None:
    hub.add(QWEN, qwen_files(**{"preprocessor_config.json": b'{"chunk_length": 10}'}))
    with pytest.raises(Unavailable, match=r"takes 10 s of audio in one pass, not 30 s"):
        find_model(settings, "qwen2-audio").build_engine()
    found = find_model(settings, "qwen2-audio")
    assert found.info.max_seconds == 10
    assert isinstance(found.build_engine(), AudioLlmEngine)


async def test_a_service_that_reaches_no_hub_says_so_and_ends(no_hub: str, settings: Settings) -> None:
    failures: list[bool] = []
    service_settings = settings.model_copy(update={"model": "qwen2-audio"})
    app = create_app(service_settings, on_failure=lambda: failures.append(True))
    async with app.router.lifespan_context(app):
        await until(lambda: bool(failures), seconds=60)
        failure = app.state.service.failure
    assert failure is not None
    assert "no model hub can be reached" in failure
    assert "--model /path/to/checkpoint" in failure


@pytest.mark.parametrize("switched_off", ["offline", "setting"])
def test_a_hub_that_is_switched_off_is_told_at_once(
    switched_off: str, hub: HubStandIn, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(QWEN, qwen_files())
    off = settings.model_copy(update={"hub": False}) if switched_off == "setting" else settings
    monkeypatch.setattr(model_source, "is_offline", lambda: switched_off == "offline")
    name = "SPEECHSUM_HUB=false" if switched_off == "setting" else "HF_HUB_OFFLINE"
    with pytest.raises(ValueError, match=f"is not downloaded, and {name} forbids"):
        find_model(off, "qwen2-audio")
    monkeypatch.setattr(model_source, "is_offline", lambda: False)
    find_model(settings, "qwen2-audio").build_engine()
    monkeypatch.setattr(model_source, "is_offline", lambda: switched_off == "offline")
    assert isinstance(find_model(off, "qwen2-audio").build_engine(), AudioLlmEngine)


def test_what_a_model_lacks_here_is_told_before_the_download(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubModel, "missing_packages", lambda self: list(self.packages))
    with pytest.raises(ValueError, match=r"qwen2\.5-omni-3b needs the Python package torchvision"):
        find_model(settings, "qwen2.5-omni-3b")
    remote = settings.remote.model_copy(update={"urls": ["http://gpu-1:8001"]})
    with pytest.raises(ValueError, match="is served in this process, not at servers"):
        find_model(settings.model_copy(update={"remote": remote}), "qwen2-audio")


def test_an_unknown_name_gets_the_names_there_are(settings: Settings) -> None:
    for name in ("voxtral", "voxtral-mini@2"):
        with pytest.raises(UnknownModel, match=rf"{name}.*cascade-base@1.*from a model hub: voxtral-mini, "):
            find_model(settings, name)


def test_the_command_lists_what_is_downloaded(
    hub: HubStandIn, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(QWEN, qwen_files())
    find_model(settings, "qwen2-audio").build_engine()
    monkeypatch.setenv("SPEECHSUM_CACHE_DIR", str(settings.cache_dir))
    assert main(["models"]) == 0
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines() if row}
    for model in HUB_MODELS.values():
        assert ("not downloaded" in rows[model.name]) == (model is not QWEN)
        assert model.license in rows[model.name]
    assert "16.8 GB" in rows["qwen2-audio"]
    assert "GPU 17 GB, CPU 34 GB" in rows["qwen2-audio"]
