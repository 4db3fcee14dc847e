"""Every shell and Python block of the README and the pages runs, or a marker says why not."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import PAGES, PARSED, ROOT, RUN, SHORTEST_REASON, SHOWN, Block, blocks_of, name_of
from tests.docs.service import WRITTEN, DocsService, running_service
from tests.recordings import mux_speech, speech_wav

PAGE_SECONDS = 240
# `curl` fails on an answer that is an error, and is silent about its progress.
PREAMBLE = """\
set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body --max-time 60 "$@"; }
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocsService]:
    """One service for all pages."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


def run_blocks(blocks: list[Block], service: DocsService, folder: Path) -> list[str]:
    """Run the blocks one after the other in one shell, in a folder with recordings; return the places that ran.

    Variables and files of a block are there for the next one, as for somebody who reads the page from top to bottom.
    """
    (folder / "recording.wav").write_bytes(speech_wav())
    (folder / "meeting.m4a").write_bytes(mux_speech("ipod", "aac"))
    for name in ("results", "training", "model_repo", "deploy"):  # what a reader sees in the repository's folder
        (folder / name).symlink_to(ROOT / name)
    ran = folder / "ran.txt"
    script = [PREAMBLE]
    for number, block in enumerate(blocks):
        code = block.code.replace(WRITTEN, service.address)
        if block.language == "python":
            program = folder / f"block-{number}.py"
            program.write_text(code)
            code = f"python {program}\n"
        script.append(f"{code}echo '{block.place}' >> {ran}\n")
    (folder / "page.sh").write_text("".join(script))
    done = subprocess.run(
        ["bash", "page.sh"], cwd=folder, env=service.environment, capture_output=True, text=True, timeout=PAGE_SECONDS
    )
    places = ran.read_text().splitlines() if ran.exists() else []
    failed = blocks[len(places)].place if len(places) < len(blocks) else "the last block"
    assert done.returncode == 0, f"{failed} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return places


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_that_is_not_marked_runs(page: Path, service: DocsService, tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(page) if block.language in RUN and block.reason is None]
    if blocks:
        assert run_blocks(blocks, service, tmp_path) == [block.place for block in blocks]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_language_and_every_marker_a_reason(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in (*RUN, *PARSED, *SHOWN), f"{block.place}: the language is {block.language!r}"
        assert block.reason is None or len(block.reason) >= SHORTEST_REASON, f"{block.place}: the marker has no reason"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_is_at_least_well_formed(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "sh" and block.reason is not None:
            checked = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True, timeout=10)
            assert checked.returncode == 0, f"{block.place}: {checked.stderr}"
        elif block.language == "python":
            compile(block.code, block.place, "exec")
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "yaml":
            yaml.safe_load(block.code)


def test_most_pages_have_blocks_that_run() -> None:
    ran = [page for page in PAGES if any(b.reason is None and b.language in RUN for b in blocks_of(page))]
    assert len(ran) >= 8


def test_a_block_that_fails_is_noticed(service: DocsService, tmp_path: Path) -> None:
    page = ROOT / "README.md"
    refused = Block(
        page, 1, "sh", f"curl http://{WRITTEN}/v1/audio/summaries -F file=@recording.wav -F style=x\n", None
    )
    with pytest.raises(AssertionError, match=r"README.md:1 failed"):
        run_blocks([refused], service, tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("<!-- not run: needs a GPU -->\nwords\n", "before no code block"), ("```sh\necho\n", "not closed")],
)
def test_a_marker_without_a_block_and_an_open_fence_are_errors(text: str, fault: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=fault):
        blocks_of(page)
