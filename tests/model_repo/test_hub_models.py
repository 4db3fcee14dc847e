"""The list of models on a hub: every entry can be asked for, downloaded and served."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from model_repo.families import FAMILIES, UnservableCheckpoint, read_checkpoint_folder
from model_repo.hub_models import HUB_MODELS, HubModel, find_hub_model
from model_repo.registry import list_models

ENTRIES = pytest.mark.parametrize("model", HUB_MODELS.values(), ids=list(HUB_MODELS))


@ENTRIES
def test_an_entry_names_one_revision_of_a_family_that_is_served(model: HubModel) -> None:
    assert model.model_type in FAMILIES
    assert re.fullmatch(r"[0-9a-f]{40}|main", model.revision)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name)
    assert re.fullmatch(r"[\w-]+/[\w.-]+", model.repository)
    assert model.name not in {manifest.name for manifest in list_models()}, "the registry's name would win"
    assert find_hub_model(model.name) is find_hub_model(f"{model.name}@{model.version}") is model
    assert find_hub_model(f"{model.name}@other") is None


@ENTRIES
def test_no_entry_downloads_what_could_run(model: HubModel) -> None:
    for name in ("modeling.py", "pytorch_model.bin", "spk_dict.pt", "weights.pkl", "README.md"):
        assert not any(fnmatch(name, pattern) for pattern in model.files), name
    for name in ("config.json", *model.family.required_files):
        assert any(fnmatch(name, pattern) for pattern in model.files), name


@ENTRIES
def test_the_listed_limits_are_those_of_a_folder_with_the_listed_settings(model: HubModel, tmp_path: Path) -> None:
    text = {"text_config": {"max_position_embeddings": model.context_tokens}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model.model_type, **text}))
    for name in model.family.required_files:
        (tmp_path / name).write_text("{}")
    if model.family.max_seconds_setting:
        setting = {model.family.max_seconds_setting[0]: model.processor_seconds}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(setting))
    else:
        assert model.processor_seconds is None
    for context in (0, 4096):
        assert model.max_seconds(context) == read_checkpoint_folder(tmp_path, context).max_seconds
    with pytest.raises(UnservableCheckpoint, match=f"{model.name} has a context of {model.context_tokens}"):
        model.max_seconds(10**6)


def test_the_documentation_lists_every_entry_with_its_facts() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text()
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    for model in HUB_MODELS.values():
        assert model.repository in rows[model.name]
        assert model.license.split(" (")[0] in rows[model.name]
        seconds = model.max_seconds()
        length = f"{seconds:g} s" if seconds < 60 else f"{seconds // 60:g} min"
        assert f"| {length} |" in rows[model.name]
        for size in (model.download_gb, model.gpu_gb and round(model.gpu_gb), model.cpu_gb and round(model.cpu_gb)):
            assert (f"| {size:g} GB |" if size else "| not known |") in rows[model.name]
