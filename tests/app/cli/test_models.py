"""`speechsum models`: what is listed, downloaded and verified."""

import json
import re
from pathlib import Path

import pytest

from app.cli import main
from model_repo.hub_models import HUB_MODELS, downloaded_folder
from tests.app.test_main import register
from tests.model_repo.hub_fixtures import QWEN, qwen_files
from tests.model_repo.hub_stand_in import HubStandIn

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry with two models, and an empty cache."""
    folder = tmp_path / "registry"
    register(folder, "hears", "2", 0.625)
    register(folder, "two-steps", "1", None)
    monkeypatch.setenv("SPEECHSUM_MODEL_REPO", str(folder))
    monkeypatch.setenv("SPEECHSUM_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("typed", [["models"], ["models", "list"]])
def test_the_registry_and_the_models_of_a_hub_are_listed(typed: list[str], registry: Path, capfd: Captured) -> None:
    assert main(typed) == 0
    first, second, empty, _, *others = capfd.readouterr().out.splitlines()
    assert not empty
    assert re.match(r"hears@2 +audio-llm +score 0.625 ", first)
    assert re.match(r"two-steps@1 +cascade +score not measured ", second)
    assert [line.split()[0] for line in others] == list(HUB_MODELS)


def test_the_list_is_for_programs_too(registry: Path, capfd: Captured) -> None:
    assert main(["models", "list", "--json"]) == 0
    models = {one["id"]: one for one in json.loads(capfd.readouterr().out)}
    assert (models["hears@2"]["from"], models["hears@2"]["score"]) == ("registry", 0.625)
    assert (models["voxtral-mini"]["from"], models["voxtral-mini"]["downloaded"]) == ("hub", False)


def test_a_hub_model_is_pulled_and_verified(hub: HubStandIn, registry: Path, tmp_path: Path, capfd: Captured) -> None:
    cache = tmp_path / "cache"
    hub.add(QWEN, qwen_files())
    assert main(["models", "verify", QWEN.name]) == 1
    assert "absent" in capfd.readouterr().out
    assert main(["models", "pull", QWEN.name]) == 0
    folder = downloaded_folder(QWEN, cache)
    assert capfd.readouterr().out == f"{folder}\n"
    assert main(["models", "verify"]) == 0
    assert re.fullmatch(rf"{QWEN.name} +intact\n", capfd.readouterr().out)
    assert folder is not None
    file = folder / "config.json"
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    assert main(["models", "verify", "--json"]) == 1
    (found,) = json.loads(capfd.readouterr().out)
    assert (found["model"], found["state"]) == (QWEN.name, "damaged")
    assert str(file) in found["faults"][0]
    file.unlink()
    assert main(["models", "verify", QWEN.name]) == 1
    assert "incomplete" in capfd.readouterr().out
    assert main(["models", "pull", QWEN.name]) == 0
    assert main(["models", "verify", QWEN.name]) == 0


def test_a_model_that_cannot_be_pulled_says_why(no_hub: str, registry: Path, capfd: Captured) -> None:
    assert main(["models", "pull", "voxtral-mini"]) == 1
    assert "voxtral-mini cannot be downloaded" in capfd.readouterr().err
    assert main(["models", "pull", "hears"]) in (1, 2)
    assert capfd.readouterr().err.startswith("speechsum: ")


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_an_unknown_model_is_a_usage_error(command: str, registry: Path, capfd: Captured) -> None:
    assert main(["models", command, "no-such-model"]) == 2
    error = capfd.readouterr().err
    assert "no-such-model" in error
    assert "voxtral-mini" in error


def test_nothing_to_verify_is_no_failure(registry: Path, capfd: Captured) -> None:
    assert main(["models", "verify"]) == 0
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "No model is downloaded" in printed.err


def test_a_checkpoint_of_the_registry_is_verified(registry: Path, tmp_path: Path, capfd: Captured) -> None:
    weights = b"weights"
    digest = "d6e4ac5d8c2e7d6d2f0f9c3a5b8f"  # not theirs
    manifest_file = registry / "hears" / "2" / "manifest.json"
    facts = json.loads(manifest_file.read_text())
    facts["weights"] = {"model.safetensors": digest}
    manifest_file.write_text(json.dumps(facts))
    folder = tmp_path / "cache" / "checkpoints" / "hears" / "2"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    assert main(["models", "verify", "hears"]) == 1
    printed = capfd.readouterr()
    assert "damaged" in printed.out
    assert "does not match its manifest" in printed.err
    import hashlib

    facts["weights"] = {"model.safetensors": hashlib.sha256(weights).hexdigest()}
    manifest_file.write_text(json.dumps(facts))
    assert main(["models", "verify", "hears"]) == 0
    assert "intact" in capfd.readouterr().out
