import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

import tools.offline_gpu

SCRIPT = Path(tools.offline_gpu.__file__).parent / "receive.sh"


def archive(mode: str, **files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A working tree with two packed parts: the voice archive in the first, the model's over both."""
    tree = tmp_path / "tree"
    for folder in ("app", "model_repo/x", "tools/offline_gpu", "training"):
        (tree / folder).mkdir(parents=True)
    (tree / "tools/offline_gpu/note.py").write_text("1")
    (tree / "model_repo/x/adapter.safetensors").write_text("large")
    (tree / "model_repo/x/manifest.json").write_text("{}")
    run = tree / "tools/offline_gpu/run.sh"
    run.write_text('#!/bin/sh\necho "$STAGES" >> "$GPU_HOME/began"\n')
    run.chmod(0o755)
    shutil.copy(SCRIPT, tree / "tools/offline_gpu/receive.sh")
    voice = archive("w:xz", packed__commit=b"abc\n")
    site = archive("w:xz", site__a_py=b"a = 1\n")
    model = archive("w", site_tar_xz=site, base__weights=b"w" * 50_000)
    spoken = archive("w", spoken__kokoro__records_jsonl=b"{}\n")
    pieces = {"voice.tar.xz.000": voice, "model.tar.000": model[:20_000], "model.tar.001": model[20_000:]}
    pieces |= {"spoken.tar.000": spoken}
    manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in pieces.items())
    for part, names in (("1", ["voice.tar.xz.000", "model.tar.000"]), ("2", ["model.tar.001", "spoken.tar.000"])):
        (tmp_path / "packed" / part).mkdir(parents=True)
        (tmp_path / "packed" / part / "manifest").write_text(manifest)
        for name in names:
            (tmp_path / "packed" / part / name).write_bytes(pieces[name])
    return tree


def receive(tree: Path, *parts: str, speak: str = "0") -> subprocess.CompletedProcess[str]:
    for part in parts:
        shutil.copytree(tree.parent / "packed" / part, tree / ".gpu" / part, dirs_exist_ok=True)
    environment = os.environ | {"GPU_HOME": str(tree.parent / "home"), "PYTHON": sys.executable, "SPEAK": speak}
    return subprocess.run(
        ["bash", tree / "tools/offline_gpu/receive.sh"], env=environment, capture_output=True, text=True, timeout=60
    )


def test_parts_are_taken_in_as_they_come_and_unpacked_when_whole(tree: Path) -> None:
    home = tree.parent / "home"
    first = receive(tree, "1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(
        "voice.tar.xz: unpacked\nmodel.tar: 1 pieces to come\nspoken.tar: 1 pieces to come\n"
    )
    assert (home / "packed/commit").read_text() == "abc\n"
    assert not (tree / ".gpu/1/manifest").exists(), "what was taken in is not left in the tree"
    second = receive(tree, "2")
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("model.tar: unpacked\nspoken.tar: unpacked\n")
    assert (home / "spoken/kokoro/records.jsonl").read_text() == "{}\n"
    assert (home / "site/a.py").read_text() == "a = 1\n"
    assert (home / "base/weights").read_bytes() == b"w" * 50_000
    assert not list(home.glob("*.tar*[!e]")), "archives are not kept"
    assert receive(tree).returncode == 0, "a call that carries nothing is no error once all is there"


def test_the_code_is_set_aside_without_the_registrys_adapters(tree: Path) -> None:
    receive(tree, "1")
    code = tree.parent / "home/code"
    assert (code / "tools/offline_gpu/note.py").exists()
    assert (code / "model_repo/x/manifest.json").exists()
    assert not (code / "model_repo/x/adapter.safetensors").exists()


def test_a_piece_that_was_damaged_on_the_way_stops_the_call(tree: Path) -> None:
    piece = tree.parent / "packed/1/model.tar.000"
    piece.write_bytes(b"x" + piece.read_bytes()[1:])
    done = receive(tree, "1")
    assert done.returncode != 0
    assert "model.tar.000" in done.stdout + done.stderr


def test_parts_of_two_packings_are_not_mixed(tree: Path) -> None:
    receive(tree, "1")
    with (tree.parent / "packed/2/manifest").open("a") as file:
        file.write(f"{'0' * 64}  model.tar.002\n")
    done = receive(tree, "2")
    assert done.returncode != 0
    assert "another packing" in done.stderr


def test_a_first_call_without_a_part_says_so(tree: Path) -> None:
    done = receive(tree)
    assert (done.returncode, "no part" in done.stderr) == (1, True)


def test_speech_begins_once_as_soon_as_the_voices_are_there(tree: Path) -> None:
    home = tree.parent / "home"
    assert "begun in the background" in receive(tree, "1", speak="1").stdout
    for _ in range(100):
        if (home / "began").exists():
            break
        time.sleep(0.05)
    assert "begun" not in receive(tree, "2", speak="1").stdout
    assert (home / "began").read_text() == "speech\n"
    (home / "work/speech/00").mkdir(parents=True)
    (home / "work/speech/00/clips.jsonl").write_text("{}\n{}\n")
    assert "speech: 2 clips so far" in receive(tree, speak="1").stdout


def test_code_that_changed_replaces_what_was_set_aside(tree: Path) -> None:
    receive(tree, "1")
    (tree / "tools/offline_gpu/note.py").unlink()
    (tree / "tools/offline_gpu/other.py").write_text("2")
    receive(tree)
    code = tree.parent / "home/code/tools/offline_gpu"
    assert ((code / "note.py").exists(), (code / "other.py").exists()) == (False, True)
