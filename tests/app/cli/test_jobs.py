"""`speechsum jobs` against a running service."""

import json
from pathlib import Path

import pytest

from app.cli import main
from app.settings import API_KEY_VARIABLE, URL_VARIABLE
from tests.app.cli.conftest import KEYS, write_recording
from tests.app.running_service import Site

TEXT = "A scripted summary of what was said.\n"
Captured = pytest.CaptureFixture[str]


def submit(recording: str, capfd: Captured, *more: str) -> str:
    """Queue a recording and return the id of its job."""
    assert main(["jobs", "submit", recording, *more]) == 0
    return capfd.readouterr().out.strip()


def test_a_job_is_queued_shown_waited_for_and_listed(service: Site, recording: str, capfd: Captured) -> None:
    job = submit(recording, capfd, "--style", "minutes")
    assert main(["jobs", "wait", job]) == 0
    assert capfd.readouterr() == (TEXT, "")
    assert main(["jobs", "wait", job, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["style"]["style"] == "minutes"
    assert main(["jobs", "show", job]) == 0
    facts = dict(line.split(None, 1) for line in capfd.readouterr().out.splitlines())
    assert (facts["id"], facts["state"]) == (job, "succeeded")
    assert main(["jobs", "show", job, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["summary"]["summary"] == TEXT.strip()
    assert main(["jobs", "list"]) == 0
    newest = capfd.readouterr().out.splitlines()[0]
    assert newest.startswith(f"{job}  succeeded ")
    assert main(["jobs", "list", "--state", "failed"]) == 0
    assert job not in capfd.readouterr().out


def test_the_list_is_no_longer_than_asked(service: Site, recording: str, capfd: Captured) -> None:
    jobs = [submit(recording, capfd) for _ in range(3)]
    assert main(["jobs", "list", "--limit", "2", "--json"]) == 0
    assert [json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()] == [jobs[2], jobs[1]]


def test_a_job_with_data_prints_it(service: Site, recording: str, capfd: Captured) -> None:
    data = {"title": "T", "summary": "S", "key_points": [], "decisions": [], "action_items": [], "open_questions": []}
    before, service.engine.pieces = service.engine.pieces, [json.dumps(data)]
    try:
        job = submit(recording, capfd, "--as-data")
        assert main(["jobs", "wait", job, "--format", "json"]) == 0
    finally:
        service.engine.pieces = before
    assert json.loads(capfd.readouterr().out) == data


def test_a_job_that_has_not_ended_and_one_that_is_cancelled(service: Site, recording: str, capfd: Captured) -> None:
    service.engine.piece_s = 60.0
    try:
        job = submit(recording, capfd)
        assert main(["jobs", "wait", job, "--timeout", "0.2"]) == 5
        assert f"speechsum jobs wait {job}" in capfd.readouterr().err
        assert main(["jobs", "cancel", job]) == 0
        assert capfd.readouterr().out == "cancelled\n"
        assert main(["jobs", "wait", job]) == 1
        assert "was cancelled" in capfd.readouterr().err
    finally:
        service.engine.piece_s = 0.0


def test_a_job_that_failed_says_why(service: Site, tmp_path: Path, capfd: Captured) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF....WAVEnothing")
    job = submit(str(bad), capfd)
    assert main(["jobs", "wait", job]) == 1
    failed = capfd.readouterr().err
    assert failed.startswith(f"speechsum: The job {job} has failed: ")
    assert main(["jobs", "show", job]) == 0
    assert "progress   " in capfd.readouterr().out


def test_several_recordings_are_several_jobs(service: Site, tmp_path: Path, capfd: Captured) -> None:
    names = [write_recording(tmp_path / f"{number}.wav") for number in range(2)]
    assert main(["jobs", "submit", *names]) == 0
    assert len(set(capfd.readouterr().out.split())) == 2


def test_a_job_of_nobody_or_of_another_key_is_not_found(
    service: Site, recording: str, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    job = submit(recording, capfd)
    monkeypatch.setenv(API_KEY_VARIABLE, KEYS[1])
    for id_ in (job, "job-nothing"):
        assert main(["jobs", "show", id_]) == 1
        assert id_ in capfd.readouterr().err


def test_no_service_is_started_for_jobs(monkeypatch: pytest.MonkeyPatch, capfd: Captured) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("SPEECHSUM_PORT", "9")
    assert main(["jobs", "list"]) == 3
    assert "speechsum serve" in capfd.readouterr().err
