from pathlib import Path

import pytest
from safetensors.numpy import load_file

from model_repo import registry
from tools.offline_gpu.split_starts import main, start_adapters


def test_a_version_of_the_registry_is_parted_without_a_rest(tmp_path: Path) -> None:
    manifest = registry.resolve_model(registry.REGISTRY_ROOT, "speechsum-tiny")
    assert manifest.adapter is not None
    file = manifest.folder / manifest.adapter.file
    whole = load_file(file)
    main("take", str(file), str(tmp_path))
    main("align", str(file), str(tmp_path))
    below, taken, align = (load_file(tmp_path / f"{name}.safetensors") for name in ("below", "taken", "align"))
    assert below.keys() | taken.keys() == whole.keys()
    assert not below.keys() & taken.keys()
    assert below.keys() < align.keys()
    assert align.keys() - below.keys() == {name for name in taken if name.startswith("multi_modal_projector.")}


def test_only_stages_that_begin_from_one_get_one() -> None:
    with pytest.raises(ValueError, match="the stage dpo does not begin from an adapter"):
        start_adapters("dpo", {})
