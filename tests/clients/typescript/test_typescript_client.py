"""The TypeScript types are those of the service's document, and the example compiles with them and runs.

It needs Node.js 20 or newer. The npm packages are kept in the user's cache folder, by the digest of the lock file.
"""

import asyncio
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.app.running_service import serving, wav
from tests.docs.blocks import PAGES, blocks_of
from tests.npm_packages import install_packages, run

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "clients" / "typescript"
TEXT = "A scripted summary of what was said."


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder `node_modules` with the installed packages."""
    return install_packages(FOLDER, "typescript-client")


def load_script() -> Any:
    """The script that writes the types, as a module."""
    spec = importlib.util.spec_from_file_location("write_types", FOLDER / "write_types.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_types_are_those_of_the_document(packages: Path) -> None:
    written = (FOLDER / "speechsum.d.ts").read_text()
    assert written == load_script().generate_types(packages), "run `make client-types`"


async def test_the_example_compiles_and_runs(packages: Path, tmp_path: Path) -> None:
    for name in ("package.json", "tsconfig.json", "example.ts", "speechsum.d.ts"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "recording.wav").write_bytes(wav())
    async with serving(auth={"keys": ["secret"]}) as site:

        def build_and_run() -> str:
            run(tmp_path, str(packages / ".bin" / "tsc"))
            return run(tmp_path, "node", "built/example.js", f"http://127.0.0.1:{site.port}", "recording.wav", "secret")

        lines = (await asyncio.to_thread(build_and_run)).splitlines()
    assert lines[0] == f"summary: {TEXT} true []"
    assert {"stage: received", "stage: decode", "stage: engine_decode"} <= set(lines)
    assert lines[-5:] == [
        f"streamed: {TEXT} voicemail",
        f"answer: Who calls? {TEXT}",
        f"answer: When is the meeting? {TEXT}",
        f"job: succeeded {TEXT}",
        "refused: 400 invalid_field length",
    ]


def test_a_field_that_there_is_not_does_not_compile(packages: Path, tmp_path: Path) -> None:
    for name in ("package.json", "tsconfig.json", "speechsum.d.ts"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    example = (FOLDER / "example.ts").read_text()
    assert '{ style: "bullets"' in example
    (tmp_path / "example.ts").write_text(example.replace('{ style: "bullets"', '{ style: "poem"'))
    with pytest.raises(AssertionError, match="poem"):
        run(tmp_path, str(packages / ".bin" / "tsc"), "--noEmit")


def test_what_the_pages_show_is_in_the_example() -> None:
    example = "".join((FOLDER / "example.ts").read_text().split())
    shown = [block for page in PAGES for block in blocks_of(page) if block.language == "ts"]
    assert shown
    for block in shown:
        assert "".join(block.code.split()) in example, f"{block.place} is not a part of clients/typescript/example.ts"
