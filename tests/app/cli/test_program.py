"""The program and the commands that run the service: what they print, how they end, and that a killed service comes
back.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from app.cli import main
from app.cli.exit_statuses import EXIT_STATUSES
from app.cli.program import COMMANDS
from app.serve import PROBE_PATHS
from app.server.sockets import open_listening_sockets
from app.settings import API_KEY_VARIABLE, Settings, env_example, setting_name
from tests.app.running_service import PATH
from tests.app.test_main import register
from tests.recordings import speech_wav

ROOT = Path(__file__).resolve().parents[3]


def test_settings_prints_the_example_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    assert capsys.readouterr().out == env_example()


def test_the_main_module_imports_nothing_that_a_decoding_worker_does_not_need() -> None:
    code = "import sys, app.__main__; print(*sorted({'fastapi', 'sqlalchemy', 'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split() == []


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_a_wrong_setting_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_LIMITS__CHANNELS", "none")
    assert main(["serve"]) == 2
    assert "SPEECHSUM_LIMITS__CHANNELS: " in capsys.readouterr().err


def test_a_misspelt_setting_is_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("SPEECHSUM_PROT", "1")
    monkeypatch.setenv(API_KEY_VARIABLE, "of a client")
    assert main(["models"]) == 0
    assert "SPEECHSUM_PROT" in caplog.text
    assert API_KEY_VARIABLE not in caplog.text


@contextmanager
def run_service(
    port: int = 0, log_level: str = "warning", stderr: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service in its own process, and its address as it prints it."""
    command = [
        sys.executable,
        "-m",
        "app",
        "serve",
        "--model",
        "scripted",
        "--port",
        str(port),
        "--log-level",
        log_level,
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    try:
        line = next(line for line in process.stdout if "curl" in line)
        match = re.search(r"http://127\.0\.0\.1:\d+" + PATH, line)
        assert match, line
        yield process, match[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_serve_prints_a_line_that_works_and_stops_when_told() -> None:
    with run_service() as (process, url):
        answer = httpx.post(url, files={"file": speech_wav()}, timeout=30).json()
        assert answer["summary"] == "A scripted summary of what was said."
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_the_help_imports_nothing_that_takes_time_and_lists_the_exit_statuses() -> None:
    slow = {"fastapi", "httpx", "pydantic", "rich", "sqlalchemy", "numpy"}
    code = f"import sys, app.__main__\napp.__main__.main()\nprint(sorted({slow!r} & set(sys.modules)))"
    out = subprocess.check_output([sys.executable, "-c", code, "--help"], cwd=ROOT, text=True)
    assert out.endswith("[]\n")
    assert all(f"\n  {status} " in out for status in EXIT_STATUSES)
    assert all(f"\n  {name} " in out for name in COMMANDS)


@pytest.mark.timing
def test_the_help_answers_within_half_a_second() -> None:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "app", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.5, took


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "-h"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: speechsum {name} ")
    assert "Options:" in out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == ["speechsum", version("speechsum")]


@pytest.mark.parametrize(
    "typed", [[], ["no-such-command"], ["models", "no-such-command"], ["serve", "--no-such-option"]]
)
def test_what_is_no_command_is_a_usage_error(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Usage: speechsum" in printed.err


def test_the_shell_completes_commands_options_and_values() -> None:
    def complete(line: str) -> list[str]:
        environment = {"_SPEECHSUM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        command = [sys.executable, "-m", "app"]
        return subprocess.check_output(command, cwd=ROOT, env=os.environ | environment, text=True).split()

    assert complete("speechsum s") == ["serve", "summarize", "settings"]
    assert complete("speechsum jobs c") == ["cancel"]
    assert "--style" in complete("speechsum summarize --st")
    assert complete("speechsum summarize --style b") == ["bullets"]


def test_the_program_prints_the_script_of_its_completion() -> None:
    command = [sys.executable, "-m", "app", "--show-completion", "zsh"]
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_SPEECHSUM_COMPLETE" in subprocess.check_output(command, cwd=ROOT, env=environment, text=True)


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.env_example", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["settings"])


def test_help_shows_the_default_and_the_setting_of_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in ("port", "host", "log_level"):
        default = Settings.model_fields[name].default
        assert f"(default: {default}; setting: {setting_name(name)})" in text
    assert main(["keys", "create", "--help"]) == 0
    assert "[default: summaries,jobs]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_that_is_taken_is_reported_before_anything_is_loaded(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.create_app", lambda *_, **__: pytest.fail("something is loaded"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", "scripted", "--host", host, "--port", port]) == 2
    error = capsys.readouterr().err
    assert port in error
    assert "--port" in error


def test_a_host_without_an_address_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", "scripted", "--host", "no-such-host.invalid"]) == 2
    assert "no-such-host.invalid" in capsys.readouterr().err


def test_all_addresses_of_a_host_share_the_port() -> None:
    found = open_listening_sockets("localhost", 0)
    try:
        assert len({one.getsockname()[1] for one in found}) == 1
    finally:
        for one in found:
            one.close()


def test_the_access_log_leaves_probes_out_unless_debugging() -> None:
    with run_service(log_level="info", stderr=subprocess.STDOUT) as (process, url):
        base = url.removesuffix(PATH)
        for path in ("/readyz", "/metrics", "/v1/models", "/livez"):
            httpx.get(base + path, timeout=30)
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        assert process.stdout is not None
        log = process.stdout.read()
    assert "GET /v1/models" in log
    assert not any(f"GET {path}" in log for path in PROBE_PATHS)


def test_a_service_killed_in_the_middle_of_a_request_comes_back() -> None:
    with run_service() as (process, url):
        port = int(url.split(":")[2].split("/")[0])
        with httpx.stream("POST", url, files={"file": speech_wav()}, data={"stream": "true"}, timeout=30) as response:
            assert "received" in next(response.iter_lines())
            process.kill()
            process.wait()
    began = time.monotonic()
    with run_service(port) as (_, url):
        assert httpx.post(url, files={"file": speech_wav()}, timeout=30).status_code == 200
    assert time.monotonic() - began < 60


def test_a_model_that_cannot_be_built_ends_the_service_with_an_error(tmp_path: Path) -> None:
    register(tmp_path / "registry", "hears", "1", 0.5, parts={"no-such-part": "0" * 64})
    settings = {"SPEECHSUM_MODEL_REPO": str(tmp_path / "registry"), "SPEECHSUM_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "hears@1 could not be started" in ended.stderr
    assert "curl" not in ended.stdout
