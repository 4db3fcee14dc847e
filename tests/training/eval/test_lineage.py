from pathlib import Path

import pytest

from model_repo.manifest import Figures, Manifest
from model_repo.registry import UnknownModel
from tests.model_repo.fakes import manifest
from training.__main__ import main
from training.eval.lineage import lineage_lines, stage_line


def put(root: Path, name: str, version: str, weights: str, **fields: object) -> Manifest:
    made = manifest(name, version).model_copy(update={"weights": {"model.safetensors": weights * 32}, **fields})
    made.write(root / name / version)
    return made


RUN = {
    "stage": "dpo",
    "data": {"x/pairs.jsonl": "12" * 32},
    "base": {"name": "aligned", "sha256": "34" * 32},
    "start": {"kd/adapter.safetensors": "56" * 32},
    "judge": "big-judge",
    "seed": 0,
    "commit": "78" * 20,
}
KD = {"stage": "kd", "teacher": {"name": "twin", "sha256": "9a" * 32}, "seed": 1}


def test_the_chain_is_a_tree_with_stages_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"score": 0.4, "command": "c", "result": "results/x.json", "recordings": 200, "core_coverage": 0.4}
    put(tmp_path, "tiny", "1", "aa", stage="base", parent="gone@7", parent_sha256="ee" * 32, figures=None)
    put(tmp_path, "tiny", "2", "bb", stage="sft", parent="tiny@1", parent_sha256="aa" * 32, figures=None)
    put(
        tmp_path,
        "tiny",
        "3",
        "cc",
        stage="dpo",
        parent="tiny@2",
        parent_sha256="bb" * 32,
        training={"runs": [KD, RUN]},
        figures=Figures.model_validate(figures | {"core_coverage_95": [0.3, 0.5]}),
    )
    assert main(["lineage", "tiny", "--root", str(tmp_path)]) == 0
    kind = manifest("tiny", "3").kind
    assert capsys.readouterr().out.splitlines() == [
        f"tiny@3  {kind}, dpo, weights cccccccccc",
        "│  Core facts 40.0% (30.0% to 50.0%) over 200 recordings: results/x.json",
        "│  kd: teacher twin 9a9a9a9a9a; seed 1",
        "│  dpo: data x/pairs.jsonl 1212121212; base aligned 3434343434; begun from kd/adapter.safetensors 5656565656; "
        "judge big-judge; seed 0; commit 7878787878",
        f"└─ tiny@2  {kind}, sft, weights bbbbbbbbbb",
        "   │  not measured",
        f"   └─ tiny@1  {kind}, base, weights aaaaaaaaaa",
        "      │  not measured",
        "      └─ gone@7  (not in the registry), weights eeeeeeeeee",
    ]


def test_a_version_that_was_replaced_since_is_not_passed_off_as_the_parent(tmp_path: Path) -> None:
    put(tmp_path, "tiny", "1", "aa")
    put(tmp_path, "tiny", "2", "bb", parent="tiny@1", parent_sha256="dd" * 32)
    lines = list(lineage_lines(tmp_path, "tiny@2"))
    assert any("tiny@1" in line and "not the weights it was trained from: dddddddddd" in line for line in lines)
    assert [line for line in lineage_lines(tmp_path, "tiny@1") if "tiny@2" in line] == []


def test_manifests_that_name_each_other_end(tmp_path: Path) -> None:
    put(tmp_path, "tiny", "1", "aa", parent="tiny@2")
    put(tmp_path, "tiny", "2", "bb", parent="tiny@1")
    assert list(lineage_lines(tmp_path, "tiny"))[-1].strip() == "└─ tiny@2  (again: the manifests name each other)"


def test_what_is_not_there_at_all_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "tiny", "1", "aa")
    with pytest.raises(UnknownModel, match=r"no model 'big'.*tiny@1"):
        list(lineage_lines(tmp_path, "big"))


def test_the_registry_itself_can_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", "speechsum-tiny"]) == 0
    assert capsys.readouterr().out.startswith("speechsum-tiny@")


def test_of_many_files_the_first_are_told_and_how_many_more_there_are() -> None:
    files = {f"{number}/records.jsonl": f"{number:02}" * 32 for number in range(6)}
    told = stage_line(RUN | {"data": files})
    assert "data 0/records.jsonl 0000000000, " in told
    assert "3/records.jsonl 0303030303, and 2 more; base" in told
    assert "4/records.jsonl" not in told
    assert "more" not in stage_line(RUN | {"data": dict(list(files.items())[:4])})
