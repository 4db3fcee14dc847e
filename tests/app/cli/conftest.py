"""A service for the commands that talk to one, and recordings to send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import API_KEY_VARIABLE, URL_VARIABLE
from tests.app.running_service import Site, wav
from tests.checks.threaded_service import serve_in_thread

KEYS = ["anna", "bob"]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A real service with the scripted engine that wants keys, because jobs are listed for a key only."""
    with serve_in_thread(auth={"keys": KEYS}) as running:
        yield running


@pytest.fixture
def service(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """That service, as the environment names it to the commands."""
    monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{site.port}")
    monkeypatch.setenv(API_KEY_VARIABLE, KEYS[0])
    return site


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """A recording of two seconds."""
    return write_recording(tmp_path / "call.wav")


def write_recording(file: Path, seconds: float = 2.0, amplitude: float = 0.3) -> str:
    """Write a recording as `wav` makes it, and return its path."""
    file.write_bytes(wav(seconds, amplitude))
    return str(file)
