"""`speechsum summarize` and `speechsum ask` with a running service: what they print where, and how they end."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from speechsum_client import Client, DeltaEvent, RestartEvent

from app.cli import main
from app.settings import API_KEY_VARIABLE, URL_VARIABLE
from tests.app.cli.conftest import write_recording
from tests.app.running_service import Site
from tests.checks.cut_connections import Cut, cut_way

ROOT = Path(__file__).resolve().parents[3]
TEXT = "A scripted summary of what was said.\n"
Captured = pytest.CaptureFixture[str]


def test_the_answer_is_all_of_standard_output(service: Site, recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording]) == 0
    assert capfd.readouterr() == (TEXT, "")


def test_the_options_reach_the_service(service: Site, recording: str, capfd: Captured) -> None:
    command = ["summarize", recording, "--json", "--style", "bullets", "--length", "60-80", "--focus", "money"]
    command += ["--language", "de", "--tone", "formal", "--instructions", "Name nobody."]
    assert main(command) == 0
    (line,) = capfd.readouterr().out.splitlines()
    answer = json.loads(line)
    assert answer["file"] == "call.wav"
    assert answer["summary"] == TEXT.strip()
    style = answer["style"]
    asked = (style["style"], style["length"], style["focus"], style["language"], style["tone"], style["instructions"])
    assert asked == ("bullets", "70", "money", "de", "formal", "Name nobody.")


def test_effort_and_model_reach_the_service(service: Site, recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording, "--effort", "high", "--model", "test-model@3", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["usage"]["completion_tokens"] > 7, "only one summary was written"
    assert main(["summarize", recording, "--model", "no-such-model"]) == 1
    assert "no-such-model" in capfd.readouterr().err


def test_markdown_names_the_recording_and_the_model(service: Site, tmp_path: Path, capfd: Captured) -> None:
    name = write_recording(tmp_path / "a_b #1.wav")
    assert main(["summarize", name, "--format", "markdown"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == r"# Summary of a\_b \#1.wav"
    assert lines[2] == TEXT.strip()
    assert lines[-1] == "Written by test-model@3."


def test_the_format_json_is_the_summary_as_data(site: Site, service: Site, recording: str, capfd: Captured) -> None:
    data = {"title": "T", "summary": "S", "key_points": [], "decisions": [], "action_items": [], "open_questions": []}
    before, site.engine.pieces = site.engine.pieces, [json.dumps(data)]
    try:
        assert main(["summarize", recording, "--format", "json"]) == 0
    finally:
        site.engine.pieces = before
    assert json.loads(capfd.readouterr().out) == data


def test_several_recordings_are_printed_in_their_order(service: Site, tmp_path: Path, capfd: Captured) -> None:
    names = [write_recording(tmp_path / f"{number}.wav", seconds=number) for number in (3, 1, 2)]
    assert main(["summarize", *names]) == 0
    assert capfd.readouterr().out == "\n".join(f"==> {number}.wav <==\n{TEXT}" for number in (3, 1, 2))
    assert main(["summarize", *names, "--json", "--parallel", "3"]) == 0
    answers = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(one["file"], one["audio_seconds"]) for one in answers] == [("3.wav", 3), ("1.wav", 1), ("2.wav", 2)]


def test_the_next_recording_is_sent_while_one_is_summarized(service: Site, tmp_path: Path, capfd: Captured) -> None:
    names = [write_recording(tmp_path / f"{number}.wav") for number in range(3)]
    service.engine.max_running, service.engine.piece_s = 0, 0.05
    try:
        assert main(["summarize", *names]) == 0
        assert service.engine.max_running == 2
        service.engine.max_running = 0
        assert main(["summarize", *names, "--parallel", "1"]) == 0
        assert service.engine.max_running == 1
    finally:
        service.engine.piece_s = 0.0


def test_a_recording_that_fails_leaves_the_others_alone(service: Site, tmp_path: Path, capfd: Captured) -> None:
    good = write_recording(tmp_path / "good.wav")
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF....WAVEnothing")
    assert main(["summarize", str(bad), good]) == 1
    printed = capfd.readouterr()
    assert printed.out == f"==> good.wav <==\n{TEXT}"
    assert printed.err.startswith("speechsum: bad.wav: ")


def test_silence_is_told_and_is_no_failure(service: Site, tmp_path: Path, capfd: Captured) -> None:
    assert main(["summarize", write_recording(tmp_path / "silence.wav", amplitude=0.0)]) == 0
    printed = capfd.readouterr()
    assert printed.out == "\n"
    assert printed.err.strip()


def test_warnings_are_on_standard_error(service: Site, recording: str, capfd: Captured) -> None:
    service.decoder.warnings = ["Half of it is missing."]
    try:
        assert main(["summarize", recording]) == 0
        printed = capfd.readouterr()
        assert printed.out == TEXT
        assert printed.err == "Note: Half of it is missing.\n"
        assert main(["summarize", recording, "--format", "markdown"]) == 0
        printed = capfd.readouterr()
        assert "- Half of it is missing." in printed.out, "Markdown holds the warnings itself"
        assert printed.err == ""
    finally:
        service.decoder.warnings = []


def test_the_text_is_streamed_piece_by_piece(service: Site, recording: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        written: list[str]

        def write(self, text: str) -> int:
            self.written.append(text)
            return len(text)

    terminal = Terminal()
    terminal.written = []
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["summarize", recording, "--stream"]) == 0
    pieces = [piece for piece in terminal.written if piece]
    assert len(pieces) > 3
    assert "".join(pieces) == TEXT


def test_a_text_that_began_anew_is_not_passed_off_as_whole(
    service: Site, recording: str, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    facts: dict[str, Any] = {"id": "1", "object": "audio.summary.delta", "created": 1, "model": "m"}
    events = [DeltaEvent(delta="Peter ", **facts), RestartEvent("Peter "), DeltaEvent(delta="Paul", **facts)]
    monkeypatch.setattr(Client, "summarize_stream", lambda *_, **__: iter(events))
    assert main(["summarize", recording, "--stream"]) == 3
    printed = capfd.readouterr()
    assert printed.out == "Peter "
    assert "--no-stream" in printed.err


@pytest.mark.parametrize("more", [["--json"], ["--format", "markdown"], ["OTHER"]])
def test_what_cannot_be_streamed_is_refused(more: list[str], service: Site, recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording, *(recording if one == "OTHER" else one for one in more), "--stream"]) == 2
    assert "--stream" in capfd.readouterr().err


def test_it_works_in_a_pipe(service: Site, recording: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}"}
    pipe = f"cat {recording} | {sys.executable} -m app summarize - --json | {sys.executable} -m json.tool"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert (answer["file"], answer["summary"]) == ("standard input", TEXT.strip())


def test_a_reader_that_goes_away_is_no_traceback(service: Site, recording: str) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}"}
    pipe = f"{sys.executable} -m app summarize {recording} {recording} | true"
    done = subprocess.run(["bash", "-c", pipe], env=environment, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr


def test_standard_input_can_be_named_once_only(service: Site, capfd: Captured) -> None:
    assert main(["summarize", "-", "-"]) == 2
    assert "only once" in capfd.readouterr().err


def test_a_file_that_is_not_there_is_named_before_anything_is_sent(
    service: Site, recording: str, tmp_path: Path, capfd: Captured
) -> None:
    service.engine.requests.clear()
    assert main(["summarize", recording, str(tmp_path / "nothing.wav"), str(tmp_path)]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "nothing.wav cannot be read: No such file" in printed.err
    assert f"{tmp_path} cannot be read: Is a directory" in printed.err
    assert service.engine.requests == []


def test_a_wrong_field_is_a_usage_error(service: Site, recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording, "--length", "endless"]) == 2
    assert "short, medium, long" in capfd.readouterr().err


@pytest.mark.parametrize("key", ["", "eve"])
def test_a_missing_or_wrong_key_has_a_status_of_its_own(
    key: str, service: Site, recording: str, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE)
    assert main(["summarize", recording, *(["--api-key", key] if key else [])]) == 4
    assert "--api-key" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("cut", "more"),
    [(Cut(sent=20_000), []), (Cut(received=2_500), ["--stream"])],
    ids=["upload", "stream"],
)
def test_a_connection_that_is_cut_is_made_again(
    cut: Cut, more: list[str], site: Site, service: Site, recording: str, capfd: Captured
) -> None:
    with cut_way(site.port, cut) as way:
        assert main(["summarize", recording, "--server", way.address, *more]) == 0
        assert way.cuts == []
    assert capfd.readouterr() == (TEXT, "")


def test_a_connection_that_is_always_cut_ends_the_command(
    site: Site, service: Site, recording: str, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechsum_client.client._sleep", lambda _: None)
    with cut_way(site.port, *[Cut(sent=20_000)] * 20) as way:
        assert main(["summarize", recording, "--server", way.address]) == 3
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "The connection to the service failed" in printed.err
    assert "Traceback" not in printed.err


def test_a_service_that_is_not_there(recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording, "--server", "http://127.0.0.1:9"]) == 3
    assert "speechsum serve" in capfd.readouterr().err


def test_an_address_that_is_none(recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording, "--server", "localhost:8000"]) == 2
    assert "http://" in capfd.readouterr().err


def test_a_question_is_answered(service: Site, recording: str, capfd: Captured) -> None:
    service.engine.requests.clear()
    assert main(["ask", recording, "Who pays?"]) == 0
    assert capfd.readouterr() == (TEXT, "")
    assert "Who pays?" in service.engine.requests[-1].instruction
    assert main(["ask", recording, "Who pays?", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["file"], answer["summary"]) == ("call.wav", TEXT.strip())
    assert main(["ask", recording, " "]) == 2


def test_the_configured_address_is_where_a_service_is_looked_for(
    site: Site, service: Site, recording: str, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    monkeypatch.delenv(URL_VARIABLE)
    monkeypatch.setenv("SPEECHSUM_PORT", str(site.port))
    monkeypatch.setenv("SPEECHSUM_HOST", "0.0.0.0")
    assert main(["summarize", recording]) == 0
    assert capfd.readouterr() == (TEXT, "")


def test_what_is_known_beforehand_reaches_the_model(service: Site, recording: str, capfd: Captured) -> None:
    known = ["--context", "Agenda: the roof", "--vocabulary", "Aoife, Ben", "--vocabulary", "Kubernetes"]
    for command in (["summarize", recording], ["ask", recording, "Who pays?"]):
        assert main([*command, *known, "--template", "lecture"]) == 0
        request = service.engine.requests[-1]
        assert "\nAgenda: the roof\n" in request.instruction
        assert "Summarize this lecture" in request.instruction
        assert request.vocabulary == ("Aoife", "Ben", "Kubernetes")
    assert main(["summarize", recording, "--vocabulary", "x" * 81]) == 2
    assert main(["summarize", recording, "--template", "none_such"]) == 1
    assert "There is no template 'none_such'" in capfd.readouterr().err


def test_questions_are_answered_below_the_summary(service: Site, recording: str, capfd: Captured) -> None:
    command = ["summarize", recording, "--question", "Who pays?", "--question", "Until when?"]
    assert main(command) == 0
    assert capfd.readouterr().out == f"{TEXT}\nWho pays?\n{TEXT}\nUntil when?\n{TEXT}"
    assert main([*command, "--json"]) == 0
    assert [one["question"] for one in json.loads(capfd.readouterr().out)["answers"]] == ["Who pays?", "Until when?"]
    assert main([*command, "--stream"]) == 2
    assert main([*command, "--format", "json"]) == 2
    assert "has no place for --question" in capfd.readouterr().err


def test_a_model_without_a_transcript_says_so(service: Site, recording: str, capfd: Captured) -> None:
    assert main(["summarize", recording, "--transcript", "srt"]) == 2
    assert "hears the recording itself and has no transcript" in capfd.readouterr().err
