"""A command without a running service starts the model for itself, and stops it whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.cli import child_service, main
from app.cli.child_service import run_child_service, serve_command
from app.cli.errors import CommandError
from app.cli.exit_statuses import INTERRUPTED, TERMINATED
from app.settings import URL_VARIABLE, Settings
from tests.app.cli.conftest import write_recording
from tests.recordings import CLIPS, speech_wav

ROOT = Path(__file__).resolve().parents[3]
TEXT = "A scripted summary of what was said.\n"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No service runs where the settings say, and temporary folders are the test's own."""
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("SPEECHSUM_PORT", "9")
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == [], "a service left its folder"


def processes_below(folder: Path) -> list[int]:
    """The processes that write their database or log below a folder."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (one / "environ").read_text(errors="replace"):
                found.append(int(one.name))
        except OSError:
            continue
    return [number for number in found if number != os.getpid()]


def assert_all_end(folder: Path) -> None:
    """Wait until no process of a service is left; its helpers end when they notice that it has."""
    deadline = time.monotonic() + 60
    while left := processes_below(folder):
        assert time.monotonic() < deadline, f"the processes {left} outlive the command"
        time.sleep(0.1)


def test_it_starts_the_model_and_stops_it(
    tmp_path: Path, no_service: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    (tmp_path / "app").mkdir()  # of a project of the user's
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    recording = tmp_path / "call.wav"
    recording.write_bytes(speech_wav())
    assert main(["summarize", str(recording), "--model", "scripted", "--json"]) == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out)["model"] == "scripted@1"
    assert "No service answers at http://127.0.0.1:9, so the model is started" in printed.err
    assert_all_end(no_service)


def test_only_the_command_can_use_its_service(no_service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_AUTH__KEYS", "a-key-of-the-configured-service")
    monkeypatch.setenv("SPEECHSUM_JOBS__DATABASE", "postgresql://nobody@127.0.0.1:1/nothing")
    with run_child_service(Settings(), "scripted") as child:
        url = f"{child.url}/v1/models"
        assert httpx.get(url, trust_env=False).status_code == 401
        other = {"authorization": "Bearer a-key-of-the-configured-service"}
        assert httpx.get(url, headers=other, trust_env=False).status_code == 401
        own = {"authorization": f"Bearer {child.api_key}"}
        assert httpx.get(url, headers=own, trust_env=False).status_code == 200


def test_what_the_service_does_meanwhile_is_told(no_service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import time\n"
        "print('2026-01-01 00:00:00,000 INFO app.models: Loading m@1. This takes a minute or two.', flush=True)\n"
        "time.sleep(0.5)\n"
        "print('Fetching m: 1.0 GB of 2.0 GB (50 %)\\rFetching m: 2.0 GB of 2.0 GB (100 %)', flush=True)\n"
        "time.sleep(0.5)\n"
        "print('  curl http://127.0.0.1:1/v1/audio/summaries', flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(child_service, "serve_command", lambda model: [sys.executable, "-c", script])
    phases: list[str] = []
    with run_child_service(Settings(), None, phases.append) as child:
        assert child.url == "http://127.0.0.1:1"
    assert phases[0].startswith("Loading m@1.")
    assert phases[-1] == "Fetching m: 2.0 GB of 2.0 GB (100 %)"


def test_a_service_that_cannot_start_says_why(no_service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; print('libnuma1 is missing'); sys.exit(1)"
    monkeypatch.setattr(child_service, "serve_command", lambda model: [sys.executable, "-c", script])
    with pytest.raises(CommandError, match=r"(?s)status 1 and said:\nlibnuma1 is missing\n.*speechsum doctor") as error:
        run_child_service(Settings(), None).__enter__()
    assert error.value.status == 1


def test_a_model_that_is_not_there_is_a_usage_error(tmp_path: Path, capfd: Captured) -> None:
    assert main(["ask", write_recording(tmp_path / "call.wav"), "Who?", "--model", "no-such-model"]) == 2
    assert "there is no model 'no-such-model'" in capfd.readouterr().err


def test_a_service_ends_with_a_command_that_is_killed(no_service: Path) -> None:
    code = (
        "import tempfile, time\n"
        f"tempfile.tempdir = {str(no_service)!r}\n"
        "from app.cli.child_service import run_child_service\n"
        "from app.settings import Settings\n"
        "with run_child_service(Settings(), 'scripted') as child:\n"
        "    print(child.url, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    with command.stdout:
        assert command.stdout.readline().startswith("http://127.0.0.1:")
        assert processes_below(no_service)
        command.kill()
        command.wait()
    assert_all_end(no_service)
    for left in no_service.rglob("*"):  # a killed command cannot remove it
        if left.is_file():
            left.unlink()
    for folder in sorted(no_service.rglob("*"), reverse=True):
        folder.rmdir()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_a_signal_stops_the_service_and_the_command(
    number: signal.Signals, status: int, tmp_path: Path, no_service: Path
) -> None:
    names = [write_recording(tmp_path / f"{index}.wav") for index in range(2)]
    code = (
        "import sys, tempfile\n"
        f"tempfile.tempdir = {str(no_service)!r}\n"
        "from app.cli import child_service, main, summarize\n"
        "from speechsum_client import Client\n"
        "def wait_long(*_, **__):\n"
        "    import os, time\n"
        "    os.write(1, b'working\\n')\n"  # two threads do this, and print may mix their lines
        "    time.sleep(600)\n"
        "Client.summarize_stream = wait_long\n"
        "sys.exit(main(['summarize', *sys.argv[1:], '--model', 'scripted']))\n"
    )
    command = subprocess.Popen([sys.executable, "-c", code, *names], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    with command.stdout:
        assert command.stdout.readline() == "working\n"
        command.send_signal(number)
        assert command.wait(60) == status
    assert_all_end(no_service)


def test_the_command_is_the_installed_program() -> None:
    assert serve_command(None)[:5] == [sys.executable, "-P", "-m", "app", "serve"]
    assert serve_command("m@1")[-2:] == ["--model", "m@1"]


@pytest.mark.slow  # loads the default model
def test_the_default_model_summarizes_a_person_and_answers_a_question(capfd: Captured) -> None:
    assert main(["summarize", str(CLIPS[0]), "--style", "tldr"]) == 0
    assert len(capfd.readouterr().out.split()) > 3
    assert main(["ask", str(CLIPS[0]), "What is it about?"]) == 0
    assert capfd.readouterr().out.strip()
