from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from app.core.prompts import PROMPT_FORMAT
from model_repo import assemble
from model_repo.assemble import assemble_checkpoint, merge_adapter, part_digest
from model_repo.cache import file_sha256
from model_repo.manifest import Manifest
from model_repo.parts import PartError
from model_repo.registry import RegistryError
from tests.model_repo.fakes import SCALE, adapter, base, manifest, version_in


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Path]]:
    """The fake architecture's builder; the list grows by one a build."""
    calls: list[dict[str, Path]] = []

    def build(parts: dict[str, Path]) -> Any:
        calls.append(parts)
        return base()

    monkeypatch.setitem(assemble.BASE_BUILDERS, "fake", build)
    return calls


def test_merging_adds_the_scaled_product() -> None:
    draw = np.random.default_rng(0)
    weights = draw.normal(size=(64, 48)).astype(np.float32)
    rows, columns = draw.normal(size=(16, 48)).astype(np.float16), draw.normal(size=(64, 16)).astype(np.float16)
    pair = {"x.lora_A.weight": rows, "x.lora_B.weight": columns}
    out = merge_adapter({"x.weight": weights}, pair, 2.0)["x.weight"]
    exact = weights.astype(np.float64) + 2.0 * columns.astype(np.float64) @ rows.astype(np.float64)
    assert out.dtype == np.float32
    # float32 keeps 24 bits: half a unit in the last place of values up to 50 is 2e-6.
    np.testing.assert_allclose(out, exact, rtol=1e-6, atol=1e-6)
    assert merge_adapter({"x.weight": weights}, pair, 2.0)["x.weight"].tobytes() == out.tobytes()
    half = merge_adapter({"x.weight": weights.astype(np.float16)}, pair, 2.0)["x.weight"]
    assert half.dtype == np.float16, "a base that is stored in float16 stays half as large"
    np.testing.assert_allclose(half, out, atol=0.05)


def test_merging_replaces_whole_tensors_and_leaves_the_base_alone() -> None:
    before = base()
    out = merge_adapter(before.tensors, {"b.weight": adapter()["b.weight"]}, SCALE)
    np.testing.assert_array_equal(out["b.weight"], adapter()["b.weight"].astype(np.float32))
    assert out["b.weight"].dtype == np.float32
    assert out["a.weight"] is before.tensors["a.weight"]
    np.testing.assert_array_equal(before.tensors["b.weight"], base().tensors["b.weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"c.weight": (2, 2)}, "fits no tensor"),
        ({"c.lora_A.weight": (2, 3), "c.lora_B.weight": (4, 2)}, "fits no tensor"),
        ({"b.weight": (2, 3)}, "has the shape"),
        ({"a.lora_A.weight": (2, 4)}, "does not fit"),
        ({"a.lora_B.weight": (3, 2)}, "does not fit"),
        ({"a.lora_A.weight": (1, 3)}, "does not fit"),  # ranks that differ
        ({"a.lora_A.weight": None}, r"has no matching lora_A\.weight"),
        ({"a.lora_B.weight": None}, r"has no matching lora_B\.weight"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(change: dict[str, tuple[int, int] | None], said: str) -> None:
    tensors = adapter()
    for name, shape in change.items():
        tensors.pop(name, None)
        if shape is not None:
            tensors[name] = np.ones(shape, np.float16)
    with pytest.raises(ValueError, match=said):
        merge_adapter(base().tensors, tensors, SCALE)


def test_a_checkpoint_is_built_once(built: list[Any], tmp_path: Path) -> None:
    found = version_in(tmp_path / "registry")
    folder = assemble_checkpoint(found, cache=tmp_path / "cache")
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    np.testing.assert_array_equal(
        load_file(folder / "model.safetensors")["a.weight"],
        merge_adapter(base().tensors, adapter(), SCALE)["a.weight"],
    )
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert assemble_checkpoint(found, cache=tmp_path / "cache") == folder
    assert len(built) == 1
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["change", "delete"])
def test_a_damaged_checkpoint_is_built_again(
    damage: str, built: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = version_in(tmp_path / "registry")
    file = assemble_checkpoint(found, cache=tmp_path / "cache") / "model.safetensors"
    whole = file_sha256(file)
    if damage == "change":
        file.write_bytes(file.read_bytes()[:-4] + b"....")
    else:
        file.unlink()
    capsys.readouterr()
    assemble_checkpoint(found, cache=tmp_path / "cache")
    assert file_sha256(file) == whole
    assert len(built) == 2
    assert "Building tiny@1 again" in capsys.readouterr().err


def test_weights_that_are_not_the_manifests_are_refused_and_not_kept(built: list[Any], tmp_path: Path) -> None:
    found = version_in(tmp_path / "registry")
    other = found.model_copy(update={"weights": found.weights | {"model.safetensors": "0" * 64}})
    with pytest.raises(RegistryError, match=rf"SHA-256 should be {'0' * 64}, but is [0-9a-f]{{64}}"):
        assemble_checkpoint(other, cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_changed_adapter_is_refused_even_when_the_checkpoint_is_there(built: list[Any], tmp_path: Path) -> None:
    found = version_in(tmp_path / "registry")
    assemble_checkpoint(found, cache=tmp_path / "cache")
    with (found.folder / "adapter.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RegistryError, match=r"adapter\.safetensors does not match"):
        assemble_checkpoint(found, cache=tmp_path / "cache")


def test_another_prompt_format_or_architecture_is_refused(built: list[Any], tmp_path: Path) -> None:
    found = version_in(tmp_path / "registry")
    for field, value in (("prompt_format", PROMPT_FORMAT + 1), ("architecture", "nonesuch")):
        with pytest.raises(RegistryError, match=field.replace("_", " ")):
            assemble_checkpoint(found.model_copy(update={field: value}), cache=tmp_path / "cache")
    assert not built


def test_parts_of_another_release_are_refused_before_anything_is_fetched(built: list[Any], tmp_path: Path) -> None:
    with pytest.raises(PartError, match=rf"SHA-256 abc, but this release has {part_digest('whisper-tiny-en')}"):
        assemble_checkpoint(manifest(parts={"whisper-tiny-en": "abc"}), cache=tmp_path)
    with pytest.raises(PartError, match="'nonesuch'"):
        assemble_checkpoint(manifest(parts={"nonesuch": "abc"}), cache=tmp_path)
    assert not built
    assert not list(tmp_path.iterdir())


def test_parts_used_beside_are_fetched_but_not_built_with(
    built: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, bool]] = []

    def fetch(name: str, *, cache: Path | None = None, from_hub: bool = False) -> Path:
        fetched.append((name, from_hub))
        return Path("somewhere") / name

    monkeypatch.setattr(assemble, "fetch_part", fetch)
    parts = {name: part_digest(name) for name in ("smollm2-135m-instruct-q4_1", "whisper-tiny-en-ct2")}
    assemble_checkpoint(manifest(parts=parts, beside=["whisper-tiny-en-ct2"]), cache=tmp_path, from_hub=True)
    assert sorted(fetched) == [("smollm2-135m-instruct-q4_1", True), ("whisper-tiny-en-ct2", True)]
    assert [list(parts) for parts in built] == [["smollm2-135m-instruct-q4_1"]]


def test_the_command_prints_the_folder_or_the_reason(
    built: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPEECHSUM_CACHE_DIR", str(tmp_path / "cache"))
    version_in(tmp_path / "registry")
    assert assemble.main(["--root", str(tmp_path / "registry")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cache" / "checkpoints" / "tiny" / "1")
    assert assemble.main(["tiny@2", "--root", str(tmp_path / "registry")]) == 1
    assert "it has tiny@1" in capsys.readouterr().err


def test_a_manifest_reads_back_as_written(tmp_path: Path) -> None:
    found = version_in(tmp_path)
    found.write(tmp_path / "copy")
    assert Manifest.read(tmp_path / "copy") == found
