import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from model_repo import assemble, registry
from model_repo.architectures import BaseCheckpoint
from model_repo.assemble import LORA_A_SUFFIX, LORA_B_SUFFIX
from model_repo.cache import file_sha256
from model_repo.manifest import AudioLimits, Figures
from tests.model_repo.fakes import SCALE, adapter, base, manifest
from training.models import export
from training.models.adapter_tensors import overlay_adapters, weaken_adapter
from training.models.export import add_figures, export_folder, export_version, training_record
from training.models.registry_entries import REGISTRY_ENTRIES, RegistryEntry

FAKE_ENTRY = RegistryEntry(base_parts=(), audio=AudioLimits(max_seconds=60), description="A fake.")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The fake architecture in the exporter's tables; the list holds the folders that were load-checked."""
    checked: list[Path] = []

    def check(folder: Path, cascade: bool) -> None:
        assert (folder / "model.safetensors").is_file()
        assert not (tmp_path / "registry" / "tiny" / "2" / "manifest.json").exists(), "it comes after the check"
        checked.append(folder)

    monkeypatch.setenv("SPEECHSUM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(assemble.BASE_BUILDERS, "fake", lambda parts: base())
    monkeypatch.setitem(REGISTRY_ENTRIES, "fake", FAKE_ENTRY)
    monkeypatch.setattr(export, "verify_load", check)
    return checked


def options(folder: Path, **changed: Any) -> argparse.Namespace:
    """The command's options, as parsed; one adapter, one log and one data file."""
    files = {"adapter": "a.safetensors", "log": "sft/log.json", "data": "train.jsonl"}
    (folder / "sft").mkdir(exist_ok=True)
    save_file(adapter(), folder / files["adapter"])
    (folder / files["log"]).write_text(json.dumps([{"loss": 3.0}, {"loss": 1.5}]))
    (folder / files["data"]).write_text("{}\n")
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    found = vars(parser.parse_args(["--architecture", "llama", "--name", "tiny", "--version", "2"]))
    found |= {key: [folder / name] for key, name in files.items()}
    found |= {"architecture": "fake", "root": folder / "registry", "scratch": folder / "scratch"}
    return argparse.Namespace(**found | changed)


def test_a_share_of_what_was_trained_is_kept(tmp_path: Path) -> None:
    pair: dict[str, Any] = {
        f"layer{LORA_A_SUFFIX}": np.ones((2, 4), np.float16), f"layer{LORA_B_SUFFIX}": np.ones((3, 2), np.float16)
    }  # fmt: skip
    half = weaken_adapter(pair, 0.5)
    assert [float(tensor.max()) for tensor in half.values()] == [1.0, 0.5]
    assert {tensor.dtype for tensor in half.values()} == {np.dtype(np.float16)}
    assert training_record(options(tmp_path, share=0.5))["share"] == 0.5


def test_whole_tensors_have_no_share() -> None:
    whole: dict[str, Any] = {"projector.weight": np.ones(2, np.float16)}
    assert weaken_adapter(whole, 1.0) is whole
    with pytest.raises(ValueError, match=r"projector\.weight"):
        weaken_adapter(whole, 0.5)


def test_later_adapters_lie_over_earlier_ones(tmp_path: Path) -> None:
    one, two = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_file({"x": np.zeros(2, np.float16), "y": np.zeros(2, np.float16)}, one)
    save_file({"y": np.ones(2, np.float16), "z": np.ones(2, np.float16)}, two)
    assert {name: int(value[0]) for name, value in overlay_adapters([one, two]).items()} == {"x": 0, "y": 1, "z": 1}
    assert {name: int(value[0]) for name, value in overlay_adapters([two, one]).items()} == {"x": 0, "y": 0, "z": 1}
    assert overlay_adapters([]) == {}


def test_two_pairs_for_one_module_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    for file in (one, two):
        save_file({"layer.lora_A.weight": np.ones((2, 3), np.float16)}, file)
    with pytest.raises(ValueError, match=r"2\.safetensors.*layer\.lora_A"):
        overlay_adapters([one, two])


def test_a_version_is_written_and_builds_to_the_same_bytes(loads: list[Path], tmp_path: Path) -> None:
    before = manifest("tiny", "1")
    before.weights = {"model.safetensors": "ab" * 32, "config.json": "cd" * 32}
    before.write(tmp_path / "registry" / "tiny" / "1")
    given = options(tmp_path, stage="align", parent="tiny")
    found = export_version(given)
    read = registry.resolve_model(tmp_path / "registry", "tiny@2")
    assert read == found
    assert (read.stage, read.parent, read.parent_sha256, read.figures) == ("align", "tiny@1", "ab" * 32, None)
    assert loads == [tmp_path / "scratch" / "tiny-2"]
    built = load_file(tmp_path / "cache" / "checkpoints" / "tiny" / "2" / "model.safetensors")
    for name, value in assemble.merge_adapter(base().tensors, adapter(), SCALE).items():
        np.testing.assert_array_equal(built[name], value)
    assert not (tmp_path / "scratch" / "tiny-2").exists()


def test_the_length_that_it_was_trained_on_goes_into_the_manifest(tmp_path: Path) -> None:
    short = ran(tmp_path, "align", {"audio_seconds": {"p95": 9.5, "longest": 11.0}})
    longer = ran(tmp_path, "sft", {"audio_seconds": {"p95": 16.0, "longest": 40.0}})
    hours = ran(tmp_path, "kd", {"audio_seconds": {"p95": 9e3, "longest": 9e3}})
    text = ran(tmp_path, "dpo", {})
    for folder in (short, longer, hours, text):
        save_file(adapter(), folder / "adapter.safetensors")
    assert export.audio_limits("audioflamingo3", [short, longer, text]).trained_seconds == 16.0
    assert export.audio_limits("audioflamingo3", [text]).trained_seconds is None
    assert export.audio_limits("audioflamingo3", [hours]).trained_seconds == 300, "no more than a pass holds"
    assert export.audio_limits("llama", [short]).trained_seconds is None, "a cascade's recognizer is not trained"


def test_what_does_not_load_gets_no_manifest(
    loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, cascade: bool) -> None:
        raise subprocess.CalledProcessError(1, "vllm")

    given = options(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(export, "verify_load", fail)
        with pytest.raises(subprocess.CalledProcessError):
            export_version(given)
    assert registry.list_models(tmp_path / "registry") == []
    # What the failed export left in its scratch folder does not get into the next one's manifest.
    (tmp_path / "scratch" / "tiny-2" / "left.json").write_text("{}")
    assert sorted(export_version(given).weights) == ["config.json", "model.safetensors"]


def test_an_adapter_that_fits_nothing_is_not_exported(loads: list[Path], tmp_path: Path) -> None:
    save_file({"c.weight": np.ones(2, np.float16)}, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"c\.weight fits no tensor"):
        export_version(options(tmp_path, adapter=[tmp_path / "c.safetensors"]))
    assert registry.list_models(tmp_path / "registry") == []
    assert not loads


def test_a_folder_for_the_next_stage_holds_the_merged_weights(loads: list[Path], tmp_path: Path) -> None:
    given = options(tmp_path, folder_only=tmp_path / "next")
    assert export.run(given) == 0
    assert not (tmp_path / "registry").exists()
    whole = load_file(export_folder("fake", given.adapter, tmp_path / "next") / "model.safetensors")
    np.testing.assert_array_equal(
        whole["a.weight"], assemble.merge_adapter(base().tensors, adapter(), SCALE)["a.weight"]
    )
    assert (tmp_path / "next" / "config.json").read_text() == base().files["config.json"]


def test_a_folder_is_built_from_parts_that_lie_there(
    loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Path] = {}

    def builder(parts: dict[str, Path]) -> BaseCheckpoint:
        asked.update(parts)
        return base()

    monkeypatch.setitem(export.BASE_BUILDERS, "fake", builder)
    monkeypatch.setitem(REGISTRY_ENTRIES, "fake", replace(FAKE_ENTRY, base_parts=("words",)))
    given = options(tmp_path, folder_only=tmp_path / "next", parts=tmp_path / "parts")
    assert export.run(given) == 0
    assert asked == {"words": tmp_path / "parts" / "words"}
    whole = load_file(tmp_path / "next" / "model.safetensors")
    np.testing.assert_array_equal(
        whole["a.weight"], assemble.merge_adapter(base().tensors, adapter(), SCALE)["a.weight"]
    )


def test_the_record_says_what_it_was_trained_with(tmp_path: Path) -> None:
    found = training_record(options(tmp_path, command_line=["speechsum-train sft --steps 3"]))
    assert found["data"] == {f"{tmp_path.name}/train.jsonl": file_sha256(tmp_path / "train.jsonl")}
    assert found["last_log"] == {"sft": {"loss": 1.5}}
    assert found["commands"] == ["speechsum-train sft --steps 3"]
    assert len(found["commit"]) in (0, 40)
    assert found["versions"]["torch"]
    json.dumps(found)


def test_a_parent_that_is_not_there_has_no_child(loads: list[Path], tmp_path: Path) -> None:
    with pytest.raises(registry.UnknownModel, match="gone@3"):
        export_version(options(tmp_path, parent="gone@3"))
    assert not loads


def test_runs_bring_adapters_options_digests_and_logs(loads: list[Path], tmp_path: Path) -> None:
    """Three stages; the third began from the second, whose pairs it holds."""
    one, two = ran(tmp_path, "align", {}), ran(tmp_path, "sft", {})
    pair = {k: v for k, v in adapter().items() if "lora" in k}
    save_file({k: v for k, v in adapter().items() if "lora" not in k}, one / "adapter.safetensors")
    save_file(pair, two / "adapter.safetensors")
    three = ran(tmp_path, "dpo", {"start": {"sft/adapter.safetensors": file_sha256(two / "adapter.safetensors")}})
    save_file(pair, three / "adapter.safetensors")
    given = options(tmp_path, adapter=[], run_folders=[one, two, three], data=[], log=[])
    assert export.run(given) == 0
    read = registry.resolve_model(tmp_path / "registry", "tiny")
    assert read.stage == "dpo"
    assert [run["stage"] for run in read.training["runs"]] == ["align", "sft", "dpo"]
    assert read.training["runs"][2]["log"] == {"loss": 1.5}
    assert read.training["runs"][2]["config"] == {"seed": 3, "base": "some/base", "data": ["far/data.jsonl"]}
    assert read.training["runs"][2]["adapter"] == file_sha256(three / "adapter.safetensors")
    kept = load_file(read.folder / "adapter.safetensors")
    assert kept.keys() == adapter().keys()


def test_adapters_that_are_named_lie_under_the_runs(loads: list[Path], tmp_path: Path) -> None:
    below = {k: v for k, v in adapter().items() if "lora" in k}
    over = {k: v + 1 for k, v in adapter().items() if "lora" not in k}
    one = ran(tmp_path, "sft", {})
    save_file(over, one / "adapter.safetensors")
    given = options(tmp_path, run_folders=[one], data=[], log=[])
    save_file(below | {k: v - 1 for k, v in over.items()}, tmp_path / "a.safetensors")
    assert export.run(given) == 0
    kept = load_file(registry.resolve_model(tmp_path / "registry", "tiny").folder / "adapter.safetensors")
    assert kept.keys() == below.keys() | over.keys()
    for name, value in over.items():
        np.testing.assert_array_equal(kept[name], value)


def ran(folder: Path, stage: str, more: dict[str, Any]) -> Path:
    """A run's folder, without its adapter."""
    out = folder / "runs" / stage
    out.mkdir(parents=True)
    (out / "run.json").write_text(json.dumps({"stage": stage, "seed": 3, "data": {"far/data.jsonl": "0"}} | more))
    (out / "config.yaml").write_text("seed: 3\nbase: /a/long/way/to/some/base\ndata: [/a/far/data.jsonl]\n")
    (out / "log.json").write_text(json.dumps([{"loss": 3.0}, {"loss": 1.5}]))
    return out


def test_figures_are_added_and_nothing_else_changes(loads: list[Path], tmp_path: Path) -> None:
    before = export_version(options(tmp_path))
    figures = Figures.model_validate({"score": 0.5, "command": "measure", "result": "r.json", "coverage": 0.4})
    add_figures(tmp_path / "registry", "tiny", "2", figures)
    after = registry.resolve_model(tmp_path / "registry", "tiny")
    assert after.figures == figures
    assert after.model_copy(update={"figures": None}) == before
    assert registry.best_model(tmp_path / "registry").id == "tiny@2"


@pytest.mark.parametrize(("cascade", "more"), [(True, ["--text-only"]), (False, [])])
def test_the_load_check_is_the_services_own_command_and_fails_with_it(
    cascade: bool, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], *, check: bool) -> None:
        assert command == [sys.executable, "-m", "app.engine.check_checkpoint", str(tmp_path / "it's here"), *more]
        assert check, "a process that fails must stop the export"

    monkeypatch.setattr(export.subprocess, "run", run)
    export.verify_load(tmp_path / "it's here", cascade)
