"""What `speechsum batch` refuses before any work begins. What it does is tested with Ray (`tests/app/batch`)."""

import sys
from pathlib import Path

import pytest

from app.cli import main
from tests.app.cli.conftest import write_recording


@pytest.fixture
def archive(tmp_path: Path) -> str:
    folder = tmp_path / "archive"
    folder.mkdir()
    write_recording(folder / "call.wav")
    return str(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--question", "Who calls?"], "only with --json"),
        (["--transcript", "srt"], "only with --json"),
        (["--workers", "3", "--max-workers", "2"], "less than --workers"),
        (["--length", "endless"], "length"),
        (["--template", "no-such"], "no-such"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--context", "x" * 5000], "context has 5000 characters"),
        (["--file-format", "csv"], "csv"),
        (["--pattern", "*.mp3"], "no recordings that match"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    options: list[str], message: str, archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["batch", archive, "--out", str(out), "--model", "scripted", *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_an_archive_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", str(tmp_path / "none"), "--out", str(tmp_path), "--model", "scripted"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_without_ray_the_user_learns_how_to_install_it(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # an import of it fails, whether it is installed or not
    out = tmp_path / "out"
    assert main(["batch", archive, "--out", str(out), "--model", "scripted"]) == 2
    assert 'pip install ".[ray]"' in capsys.readouterr().err
    assert not out.exists()
