"""Models are downloaded from a hub: whole, once, with the right digests, and after an interruption from where it stood.

The hub is a stand-in on loopback; `huggingface_hub` and the process that downloads are real.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from model_repo import hub_download
from model_repo.hub_download import HubDownloadError, fetch_hub_model
from model_repo.hub_models import HubModel, downloaded_folder
from tests.model_repo.hub_fixtures import GRANITE, QWEN, QWEN_SERVED, VOXTRAL, WEIGHTS, qwen_files
from tests.model_repo.hub_stand_in import HubStandIn

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def stalled_download(hub: HubStandIn, cache: Path, code: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process that downloads, from the moment at which the hub has sent half of a file and sends no more."""
    hub.stall_after = {FIRST: len(WEIGHTS) // 2}
    command = ["-c", code] if code else ["-m", "model_repo.hub_download", QWEN.name, "--cache", str(cache)]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        assert hub.stalled.wait(60)
        part = QWEN.cache_folder(cache) / QWEN.revision / f"{FIRST}.part"
        deadline = time.monotonic() + 60
        while part.stat().st_size < len(WEIGHTS) // 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_serving_needs_is_downloaded_once(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    assert downloaded_folder(QWEN, tmp_path) is None
    folder = fetch_hub_model(QWEN, tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == QWEN_SERVED
    assert (folder / FIRST).read_bytes() == WEIGHTS
    assert downloaded_folder(QWEN, tmp_path) == folder
    asked = len(hub.requests)
    assert fetch_hub_model(QWEN, tmp_path) == folder
    assert len(hub.requests) == asked, "what is there is not asked for again"


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    hub.cut_after = {FIRST: 300_000, "merges.txt": 2}
    folder = fetch_hub_model(QWEN, tmp_path)
    assert hub.sent_ranges(FIRST) == ["", "bytes=300000-"]
    assert hub.sent_ranges("merges.txt") == ["", "bytes=2-"]
    assert (folder / FIRST).read_bytes() == WEIGHTS


def test_a_process_that_is_ended_is_taken_up_by_the_next(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    with stalled_download(hub, tmp_path):
        pass
    hub.stall_after = {}
    assert downloaded_folder(QWEN, tmp_path) is None, "half a model is no model"
    folder = fetch_hub_model(QWEN, tmp_path)
    assert hub.sent_ranges(FIRST) == ["", f"bytes={len(WEIGHTS) // 2}-"]
    assert hub.sent_ranges("config.json") == [""], "what was complete is not fetched again"
    assert (folder / FIRST).read_bytes() == WEIGHTS


def test_a_download_ends_with_the_process_that_wants_it(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    code = (
        "from pathlib import Path; from model_repo.hub_download import fetch_hub_model; "
        "from model_repo.hub_models import HUB_MODELS; "
        f"fetch_hub_model(HUB_MODELS[{QWEN.name!r}], Path({str(tmp_path)!r}))"
    )
    with stalled_download(hub, tmp_path, code) as parent:
        children = psutil.Process(parent.pid).children()
        assert len(children) == 1
        parent.kill()
        assert psutil.wait_procs(children, timeout=30)[1] == []


def test_two_processes_download_a_model_once(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    with stalled_download(hub, tmp_path):
        folders: list[Path] = []
        second = threading.Thread(target=lambda: folders.append(fetch_hub_model(QWEN, tmp_path)))
        second.start()
        hub.may_go_on.set()
        second.join()
    assert (folders[0] / FIRST).read_bytes() == WEIGHTS
    assert hub.sent_ranges(FIRST) == [""]


@pytest.mark.parametrize("name", [SECOND, "config.json"])
def test_a_file_with_a_wrong_digest_is_named_and_does_not_stay(name: str, hub: HubStandIn, tmp_path: Path) -> None:
    files = hub.add(QWEN, qwen_files()).files
    hub.sent_instead = {name: bytes(len(files[name]))}
    with pytest.raises(HubDownloadError) as caught:
        fetch_hub_model(QWEN, tmp_path)
    sha256, zeros = hashlib.sha256(files[SECOND]).hexdigest(), hashlib.sha256(hub.sent_instead[name]).hexdigest()
    for said in [name, *((sha256, zeros) if name == SECOND else ())]:
        assert said in str(caught.value)
    assert not list(QWEN.cache_folder(tmp_path).glob(f"*/{name}*"))
    hub.sent_instead = {}
    assert (fetch_hub_model(QWEN, tmp_path) / name).read_bytes() == files[name]
    assert len(hub.sent_ranges(FIRST)) == 1


def test_a_file_that_changed_in_the_cache_is_downloaded_again(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    folder = fetch_hub_model(QWEN, tmp_path)
    (folder / FIRST).write_bytes(bytes(len(WEIGHTS)))
    (folder / SECOND).touch()
    assert downloaded_folder(QWEN, tmp_path) is None
    assert fetch_hub_model(QWEN, tmp_path) == folder
    assert (folder / FIRST).read_bytes() == WEIGHTS
    assert (len(hub.sent_ranges(FIRST)), len(hub.sent_ranges(SECOND))) == (2, 1), (
        "the other has another time, but its digest"
    )


@pytest.mark.parametrize("refusal", [(401, "GatedRepo"), (403, "GatedRepo"), (401, "RepoNotFound"), (403, "")])
def test_a_repository_that_wants_a_token_says_where_to_put_it(
    refusal: tuple[int, str], hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(QWEN, qwen_files(), token="a-token", refusal=refusal)
    with pytest.raises(HubDownloadError, match=rf"{QWEN.repository}.*HF_TOKEN"):
        fetch_hub_model(QWEN, tmp_path)
    monkeypatch.setenv("HF_TOKEN", "a-token")
    assert (fetch_hub_model(QWEN, tmp_path) / FIRST).read_bytes() == WEIGHTS
    assert {token for _, path, _, token, _ in hub.requests if "/cdn/" in path} == {""}, "the token stays with the hub"


def test_what_the_hub_does_not_have_is_named(hub: HubStandIn, tmp_path: Path) -> None:
    with pytest.raises(HubDownloadError, match=f"no repository {QWEN.repository}"):
        fetch_hub_model(QWEN, tmp_path)
    hub.add(QWEN, qwen_files()).commit = "d" * 40
    with pytest.raises(HubDownloadError, match=f"{QWEN.repository} has no revision {QWEN.revision}"):
        fetch_hub_model(QWEN, tmp_path)
    hub.add(VOXTRAL, {"config.json": b"{}", "params.json": b"{}"})
    with pytest.raises(HubDownloadError, match=r"has no tekken\.json"):
        fetch_hub_model(VOXTRAL, tmp_path)


def test_without_a_hub_a_folder_is_proposed(no_hub: str, tmp_path: Path) -> None:
    with pytest.raises(HubDownloadError, match=r"no model hub can be reached at .*--model /path/to/checkpoint") as said:
        fetch_hub_model(QWEN, tmp_path)
    assert no_hub in str(said.value)


def test_a_machine_that_is_offline_serves_what_it_has(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(QWEN, qwen_files())
    monkeypatch.setattr(hub_download, "OFFLINE_SETTING", "1")
    with pytest.raises(HubDownloadError, match="HF_HUB_OFFLINE is set"):
        fetch_hub_model(QWEN, tmp_path)
    assert hub.requests == []
    monkeypatch.setattr(hub_download, "OFFLINE_SETTING", "")
    folder = fetch_hub_model(QWEN, tmp_path)
    monkeypatch.setattr(hub_download, "OFFLINE_SETTING", "1")
    assert fetch_hub_model(QWEN, tmp_path) == folder


def test_what_an_engine_set_does_not_keep_a_model_from_being_downloaded(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(QWEN, qwen_files())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert (fetch_hub_model(QWEN, tmp_path) / FIRST).read_bytes() == WEIGHTS


def test_a_branch_means_the_commit_of_the_first_download(hub: HubStandIn, tmp_path: Path) -> None:
    files = qwen_files()
    repository = hub.add(GRANITE, files)
    folder = fetch_hub_model(GRANITE, tmp_path)
    assert folder.name == repository.commit
    repository.commit = "d" * 40
    (folder / "merges.txt").unlink()
    with pytest.raises(HubDownloadError, match=rf"merges\.txt: .*has no revision {'c' * 40}"):
        fetch_hub_model(GRANITE, tmp_path)
    repository.commit = "c" * 40
    assert fetch_hub_model(GRANITE, tmp_path) == folder
    record = json.loads((GRANITE.cache_folder(tmp_path) / "download.json").read_text())
    assert (record["revision"], record["commit"]) == ("main", "c" * 40)


def test_what_the_hubs_own_cache_holds_is_not_downloaded(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    place = Path(os.environ["HF_HOME"], "hub", f"models--{QWEN.repository.replace('/', '--')}")
    snapshot = place / "snapshots" / QWEN.revision
    snapshot.mkdir(parents=True)
    (place / "blobs").mkdir()
    for name, data in ((FIRST, WEIGHTS), (SECOND, bytes(len(WEIGHTS)))):
        (place / "blobs" / name).write_bytes(data)
        (snapshot / name).symlink_to(place / "blobs" / name)
    folder = fetch_hub_model(QWEN, tmp_path)
    assert (hub.sent_ranges(FIRST), len(hub.sent_ranges(SECOND))) == ([], 1), "only what has its digest"
    assert (folder / FIRST).read_bytes() == WEIGHTS
    assert (snapshot / SECOND).read_bytes() == bytes(len(WEIGHTS)), "that cache is not ours to mend"


def test_a_disk_that_is_too_small_is_named_before_the_download(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files(), advertised_sizes={FIRST: 10**18})
    with pytest.raises(HubDownloadError, match=r"needs 1000000001\.1 GB in .*GB free.*SPEECHSUM_CACHE_DIR"):
        fetch_hub_model(QWEN, tmp_path)
    assert hub.sent_ranges("config.json") == []


def test_a_hub_that_names_no_digest_is_not_believed(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files()).without_digests = True
    with pytest.raises(HubDownloadError, match=r"names no size or no digest for config\.json"):
        fetch_hub_model(QWEN, tmp_path)


@pytest.mark.parametrize(("model", "told"), [(QWEN, "d" * 40), (GRANITE, "../../elsewhere")])
def test_a_hub_that_answers_with_another_commit_is_not_believed(
    model: HubModel, told: str, hub: HubStandIn, tmp_path: Path
) -> None:
    hub.add(model, qwen_files()).told_commit = told
    with pytest.raises(HubDownloadError, match=f"answers with the commit {re.escape(told)}, not {model.revision}"):
        fetch_hub_model(model, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(hub: HubStandIn, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where the folder has to be")
    with pytest.raises(HubDownloadError, match=rf"{tmp_path}/hub"):
        fetch_hub_model(QWEN, tmp_path)


def test_the_command_prints_the_folder_and_how_far_it_is(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add(QWEN, qwen_files())
    command = [sys.executable, "-m", "model_repo.hub_download", "--cache", str(tmp_path)]
    done = subprocess.run([*command, QWEN.name], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str(downloaded_folder(QWEN, tmp_path)))
    assert "Fetching qwen2-audio: 2.1 MB of 2.1 MB (100 %)" in done.stderr
    done = subprocess.run([*command, "nonesuch"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no model 'nonesuch'")
    assert VOXTRAL.name in done.stderr
