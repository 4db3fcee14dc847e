"""What the pages name exists: settings, error codes, files, results. The README's figures are the manifests'."""

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from app.settings import CLIENT_VARIABLES, Settings, setting_fields, setting_name
from tests.docs.blocks import PAGES, ROOT, name_of

MOST_README_LINES = 150
SETTINGS = {setting_name(*path) for path, _ in setting_fields()} | CLIENT_VARIABLES
SECTIONS = {setting_name(name) for name in Settings.model_fields}
_SETTING = re.compile(r"SPEECHSUM_[A-Z0-9_]+")
_RESULT = re.compile(r"`(results/[^`*…\s]+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
_FIGURE = re.compile(r"(\d+)% \((\d+)%\u2013(\d+)%\) \| ([\d.]+) \(([\d.]+)\u2013([\d.]+)\)")
# The results folder as it was called when a result was made; its index says so.
FORMER = "results/voices-cascade-base-1.json"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    for name in _SETTING.findall(page.read_text()):
        known = name in SETTINGS or name.rstrip("_") in SECTIONS or name == "SPEECHSUM_"
        assert known or any(setting.startswith(name) for setting in SETTINGS), f"{name_of(page)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_result_that_is_cited_is_there(page: Path) -> None:
    for cited in _RESULT.findall(page.read_text()):
        assert cited == FORMER or (ROOT / cited).exists(), f"{name_of(page)} cites {cited}"


def test_every_result_is_cited() -> None:
    cited = {one for page in PAGES for one in _RESULT.findall(page.read_text())}
    kept = {str(file.relative_to(ROOT)) for file in (ROOT / "results").rglob("*") if file.is_file()}
    assert sorted(kept - cited - {"results/README.md"}) == []


@pytest.mark.parametrize("page", [page for page in PAGES if not page.is_relative_to(ROOT / "docs")], ids=name_of)
def test_every_link_outside_the_site_leads_to_a_file(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_README_LINES


def test_the_folders_of_the_readmes_tree_exist() -> None:
    tree = (ROOT / "README.md").read_text().split("```text\n")[1].split("```")[0]
    path: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = [*path[:depth], name]
        assert Path(ROOT, *path).is_dir(), "/".join(path)


def test_the_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = {name for name in re.findall(r"`([\w/*.\u2026]+)`", text) if name.endswith((".py", "/"))}
    rooms = ("app", "training", "model_repo", "deploy", "tests")
    files = [str(file.relative_to(ROOT)) for room in rooms for file in (ROOT / room).rglob("*") if file.is_file()]
    folders = {f"/{parent}/" for file in files for parent in Path(file).parents}
    missing = [
        name
        for name in sorted(named)
        if not any(fnmatch(f"/{file}", f"*/{name.replace(chr(0x2026), '*')}") for file in files)
        and not any(folder.endswith(f"/{name}") for folder in folders)
    ]
    assert len(named) > 60
    assert missing == []


def test_the_readmes_figures_are_the_manifests() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, version in (("cascade-base", "2"), ("cascade-tiny", "2"), ("speechsum-tiny", "8")):
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}`"))
        found = _FIGURE.search(row)
        assert found is not None, row
        figures = json.loads((ROOT / "model_repo" / name / version / "manifest.json").read_text())["figures"]
        core, invented = figures["core_coverage"], figures["hallucinations_per_summary"]
        of_core, of_invented = figures["core_coverage_95"], figures["hallucinations_per_summary_95"]
        assert list(found.groups()) == [
            *(f"{100 * value:.0f}" for value in (core, *of_core)),
            *(f"{value:.2f}" for value in (invented, *of_invented)),
        ]


def test_the_figures_of_the_manifests_have_their_raw_result() -> None:
    for manifest in (ROOT / "model_repo").glob("*/*/manifest.json"):
        figures = json.loads(manifest.read_text())["figures"]
        raw = json.loads((ROOT / figures["result"]).read_text())
        assert raw["figures"]["core_coverage"] == figures["core_coverage"], manifest


def test_the_error_codes_of_the_pages_exist() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "app").rglob("*.py"))
    table = (ROOT / "docs" / "api.md").read_text().split("## Errors")[1].split("\n## ")[0]
    asked = (ROOT / "docs" / "troubleshooting.md").read_text().split("## A request is refused")[1].split("\n## ")[0]
    rows = [line.split("|")[3] for line in table.splitlines() if line.startswith(("| 4", "| 5"))]
    rows += [line.split("|")[1] for line in asked.splitlines() if line.startswith("| `")]
    codes = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}
    assert len(codes) > 30
    assert [code for code in sorted(codes) if f'"{code}"' not in source] == []


def test_the_page_of_the_settings_is_current() -> None:
    check = [sys.executable, str(ROOT / "docs" / "write_configuration.py"), "--check"]
    done = subprocess.run(check, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
