"""Which recordings a tool may read: nothing outside the folders that were allowed, by whatever path."""

import base64
import os
from pathlib import Path

import pytest

from app.mcp import recordings
from app.mcp.recordings import RecordingRefused, find_recording, open_allowed_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed folder, with a secret beside it."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "call.wav").write_bytes(b"call")
    (folder / "deep").mkdir()
    (folder / "deep" / "talk.wav").write_bytes(b"talk")
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "allowed-not" / "secret.wav").write_bytes(b"secret")
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "out").symlink_to(tmp_path)
    (folder / "own.wav").symlink_to(folder / "call.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    os.mkfifo(folder / "pipe.wav")
    return folder


@pytest.mark.parametrize(
    ("path", "content"),
    [("call.wav", b"call"), ("{root}/call.wav", b"call"), ("deep/../call.wav", b"call"), ("own.wav", b"call"),
     ("deep/talk.wav", b"talk")],
)  # fmt: skip
def test_a_file_below_the_root_is_read(root: Path, path: str, content: bytes) -> None:
    with open_allowed_file(path.format(root=root), [root]) as file:
        assert file.read() == content


@pytest.mark.parametrize(
    "path",
    ["../secret.wav", "{root}/../secret.wav", "{root}-not/secret.wav", "link.wav", "out/secret.wav", "/etc/passwd",
     "/nowhere/at/all", "~/secret.wav", "~nobody-of-this-name/x", "pipe.wav", "deep", ".", "", "loop.wav", "a\0b",
     "/dev/zero", "/proc/self/environ", "x" * 5000],
)  # fmt: skip
def test_nothing_else_is_read(root: Path, path: str) -> None:
    with pytest.raises(RecordingRefused):
        open_allowed_file(path.format(root=root), [root])


def test_the_refusal_does_not_tell_whether_a_file_outside_exists(root: Path) -> None:
    messages = []
    for name in ("../secret.wav", "../nothing.wav"):
        with pytest.raises(RecordingRefused, match="not below an allowed folder") as refused:
            open_allowed_file(name, [root])
        messages.append(str(refused.value).replace(name, ""))
    assert messages[0] == messages[1]


def test_without_a_root_no_file_is_read_and_the_message_says_how_to_allow_one(root: Path) -> None:
    with pytest.raises(RecordingRefused, match="--root"):
        find_recording(str(root / "call.wav"), None, [])


def test_a_file_that_is_replaced_by_a_link_while_it_is_opened_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = os.open

    def swap(path: Path, flags: int) -> int:
        path.unlink()
        path.symlink_to(root.parent / "secret.wav")
        return opens(path, flags)

    monkeypatch.setattr(recordings.os, "open", swap)
    with pytest.raises(RecordingRefused):
        open_allowed_file("call.wav", [root])


def test_base64_and_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    text = base64.b64encode(b"sound").decode()
    assert find_recording(None, text, []) == b"sound"
    assert find_recording(None, f"data:audio/wav;base64,{text[:4]}\n{text[4:]}", []) == b"sound"
    assert find_recording("HTTPS://example.org/a.wav", None, []) == "HTTPS://example.org/a.wav"
    for wrong in ("no base64!", "", "data:audio/wav;base64,"):
        with pytest.raises(RecordingRefused, match="audio_base64"):
            find_recording(None, wrong, [])
    with pytest.raises(RecordingRefused, match="either"):
        find_recording(None, None, [])
    with pytest.raises(RecordingRefused, match="either"):
        find_recording("a.wav", text, [])
    monkeypatch.setattr(recordings, "MAX_BASE64_CHARACTERS", 7)
    with pytest.raises(RecordingRefused, match="at most 7"):
        find_recording(None, text, [])
