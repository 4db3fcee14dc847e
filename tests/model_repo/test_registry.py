from pathlib import Path

import pytest

from app.core.prompts import PROMPT_FORMAT
from model_repo import registry
from model_repo.registry import (
    RegistryError,
    UnknownModel,
    best_model,
    comparable_manifests,
    list_models,
    resolve_model,
)
from tests.model_repo.fakes import manifest, version_in


def put(
    root: Path,
    name: str,
    version: str,
    score: float | None = None,
    kind: str = "audio-llm",
    on: str = "one set",
    default_candidate: bool = True,
) -> Path:
    folder = root / name / version
    made = manifest(name, version, score).model_copy(update={"kind": kind, "default_candidate": default_candidate})
    if made.figures:
        made.figures.set = on
    made.write(folder)
    return folder


def test_versions_are_ordered_as_people_do(tmp_path: Path) -> None:
    for version in ("10", "9", "1", "1.2", "1.10", "2rc1"):
        put(tmp_path, "tiny", version)
    put(tmp_path, "big", "3")
    assert [m.id for m in list_models(tmp_path)] == [
        "big@3",
        "tiny@1",
        "tiny@1.2",
        "tiny@1.10",
        "tiny@2rc1",
        "tiny@9",
        "tiny@10",
    ]


def test_a_name_is_its_newest_version(tmp_path: Path) -> None:
    for version in ("9", "10"):
        put(tmp_path, "tiny", version)
    assert resolve_model(tmp_path, "tiny").id == "tiny@10"
    assert resolve_model(tmp_path, "tiny@9").folder == tmp_path / "tiny" / "9"


@pytest.mark.parametrize("model", ["tin", "tiny@8", "tiny@1.0", ""])
def test_an_unknown_model_is_answered_with_those_there_are(model: str, tmp_path: Path) -> None:
    put(tmp_path, "tiny", "9")
    with pytest.raises(UnknownModel, match="it has tiny@9"):
        resolve_model(tmp_path, model)


def test_an_empty_registry_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="it has no models"):
        resolve_model(tmp_path, "tiny")
    with pytest.raises(UnknownModel, match="has no models"):
        best_model(tmp_path)


def test_the_best_is_the_highest_score_among_the_newest(tmp_path: Path) -> None:
    put(tmp_path, "other", "1", 0.4)
    put(tmp_path, "hears", "1", 0.9)  # replaced by 2, so it no longer counts
    put(tmp_path, "hears", "2", 0.3)
    put(tmp_path, "unmeasured", "1")
    assert best_model(tmp_path).id == "other@1"
    put(tmp_path, "hears", "3", 0.5)
    assert best_model(tmp_path).id == "hears@3"


def test_a_cascade_that_scores_higher_is_served(tmp_path: Path) -> None:
    put(tmp_path, "hears", "1", 0.3)
    put(tmp_path, "cascade", "1", 0.4, "cascade")
    assert best_model(tmp_path).id == "cascade@1"
    put(tmp_path, "hears", "2", 0.5)
    assert best_model(tmp_path).id == "hears@2"


def test_a_model_that_may_not_be_the_default_is_served_by_name_only(tmp_path: Path) -> None:
    put(tmp_path, "large", "1", 0.9, default_candidate=False)
    with pytest.raises(UnknownModel, match="no models that may be the default"):
        best_model(tmp_path)
    put(tmp_path, "small", "1", 0.4)
    assert best_model(tmp_path).id == "small@1"
    assert resolve_model(tmp_path, "large").figures.score == 0.9


def test_figures_of_two_sets_are_never_compared(tmp_path: Path) -> None:
    put(tmp_path, "a", "1", 0.4)
    put(tmp_path, "b", "1", 0.9)
    put(tmp_path, "b", "2", 3.0, on="an easy set")  # b's newest: what b@1 scored counts no more
    put(tmp_path, "c", "1", -0.5)
    assert best_model(tmp_path).id == "a@1"
    shown = {one.id: one.figures and one.figures.score for one in comparable_manifests(list_models(tmp_path))}
    assert shown == {"a@1": 0.4, "b@1": 0.9, "b@2": None, "c@1": -0.5}
    assert comparable_manifests(list_models(tmp_path))[0].folder == tmp_path / "a" / "1"


def test_the_set_that_most_were_measured_on_is_the_one_that_counts(tmp_path: Path) -> None:
    put(tmp_path, "mine", "1", 0.2, on="my own set")
    assert best_model(tmp_path).id == "mine@1"
    put(tmp_path, "a", "1", 0.1)
    assert best_model(tmp_path).id == "mine@1", "among equals, where something scored higher"
    put(tmp_path, "b", "1", 0.15)
    assert best_model(tmp_path).id == "b@1"


def test_what_was_never_measured_is_served_where_nothing_was(tmp_path: Path) -> None:
    put(tmp_path, "only", "1")
    assert best_model(tmp_path).id == "only@1"


def test_a_negative_score_beats_no_measure(tmp_path: Path) -> None:
    put(tmp_path, "a", "1")
    put(tmp_path, "b", "1", -0.7)
    assert best_model(tmp_path).id == "b@1"


def test_a_measured_zero_beats_no_measure(tmp_path: Path) -> None:
    put(tmp_path, "a", "1")
    put(tmp_path, "b", "1", 0.0)
    assert best_model(tmp_path).id == "b@1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"name": "tiny"}', "cannot be read"),
        ("format", "has format 99"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = put(tmp_path, "tiny", "1") / "manifest.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 99') if text == "format" else text)
    with pytest.raises(RegistryError, match=rf"tiny/1/manifest\.json.*{said}"):
        list_models(tmp_path)


def test_a_manifest_in_another_ones_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "tiny", "1").rename(tmp_path / "tiny" / "2")
    with pytest.raises(RegistryError, match=r"describes tiny@1, but is in tiny/2"):
        list_models(tmp_path)


def test_a_name_cannot_lead_elsewhere() -> None:
    for name, version in (("../x", "1"), ("tiny", "../1"), ("a@b", "1"), ("", "1")):
        with pytest.raises(ValueError, match="pattern"):
            manifest(name, version)


def test_another_prompt_format_is_refused(tmp_path: Path) -> None:
    found = version_in(tmp_path)
    registry.check_manifest(found, PROMPT_FORMAT)
    with pytest.raises(RegistryError, match=rf"prompt format {PROMPT_FORMAT}, but this release writes format 99"):
        registry.check_manifest(found, 99)


def test_a_changed_or_missing_adapter_is_refused(tmp_path: Path) -> None:
    found = version_in(tmp_path)
    file = found.folder / "adapter.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RegistryError, match=r"adapter\.safetensors does not match its manifest: its SHA-256 should be"):
        registry.check_manifest(found, PROMPT_FORMAT)
    file.unlink()
    with pytest.raises(RegistryError, match=r"adapter\.safetensors is missing"):
        registry.check_manifest(found, PROMPT_FORMAT)


def test_what_is_committed_is_readable() -> None:
    for found in list_models():
        registry.check_manifest(found, PROMPT_FORMAT)
