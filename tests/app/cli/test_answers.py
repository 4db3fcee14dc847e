"""How answers, jobs and progress look."""

from typing import Any

import pytest
from speechsum_client import JobInfo, Summary

from app.cli.answers import AnswerFormat, format_summary, job_line
from app.cli.progress import Progress, clock_text, stage_text, time_left_text
from app.web import __path__ as web_folder

SUMMARY: dict[str, Any] = {
    "id": "1",
    "created": 1,
    "model": "m@1",
    "kind": "cascade",
    "summary": "One. Two.",
    "finish_reason": "stop",
    "audio_seconds": 4000,
    "complete": True,
    "windows": [{"index": 0, "start": 0, "end": 65.4}, {"index": 1, "start": 65.4, "end": 3725}],
    "citations": [
        {
            "start": 0,
            "end": 4,
            "text": "One *.",
            "windows": [0, 1],
            "times": [{"start": 0, "end": 65.4}, {"start": 65.4, "end": 3725}],
        },
        {"start": 5, "end": 9, "text": "Two.", "windows": []},
    ],
    "style": {"style": "paragraph", "instruction": ""},
    "audio": {
        "seconds": 4000,
        "summarized_seconds": 4000,
        "speech_seconds": 1,
        "encoder_windows": 1,
        "complete": True,
        "format": "wav",
        "sample_rate": 1,
        "channels": 1,
    },
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    "timings": {},
    "rtfx": 1,
    "warnings": ["Look <here>."],
}


def test_markdown_has_warnings_and_sources_in_which_nothing_is_markup() -> None:
    text = format_summary(Summary.model_validate(SUMMARY), "a.wav", AnswerFormat.MARKDOWN, whole=False)
    assert text.splitlines() == [
        "# Summary of a.wav",
        "",
        "One. Two.",
        "",
        "## What you should know",
        "",
        "- Look \\<here\\>.",
        "",
        "## Where it comes from",
        "",
        "- 0:00\u20131:05, 1:05\u20131:02:05: One \\*.",
        "",
        "Written by m@1.",
    ]


ASKED = {
    **SUMMARY,
    "answers": [{"question": "Who <pays>?", "answer": "Maria.", "finish_reason": "stop", "citations": []}],
    "transcript": {"format": "srt", "text": "1\n00:00:00,000 --> 00:00:01,000\nMaria pays.\n"},
}
SEGMENT = {"id": 0, "avg_logprob": -0.2, "compression_ratio": 1.0, "no_speech_prob": 0.0}
TIMED = {
    "format": "verbose_json",
    "text": "Maria pays. Ben too.",
    "segments": [
        {**SEGMENT, "start": 0.0, "end": 1.0, "text": "Maria pays."},
        {**SEGMENT, "start": 65.4, "end": 70.0, "text": "Ben too."},
    ],
}


def test_answers_and_the_transcript_follow_the_summary() -> None:
    text = format_summary(Summary.model_validate(ASKED), "a.wav", AnswerFormat.TEXT, whole=False)
    assert text == "One. Two.\n\nWho <pays>?\nMaria.\n\n1\n00:00:00,000 --> 00:00:01,000\nMaria pays."
    timed = Summary.model_validate({**SUMMARY, "transcript": TIMED})
    assert format_summary(timed, "a.wav", AnswerFormat.TEXT, whole=False).endswith("0:00 Maria pays.\n1:05 Ben too.")
    lines = format_summary(Summary.model_validate(ASKED), "a.wav", AnswerFormat.MARKDOWN, whole=False).splitlines()
    assert lines[4:8] == ["## Who \\<pays\\>?", "", "Maria.", ""]
    assert lines[8:13] == ["## Transcript", "", "    1", "    00:00:00,000 --> 00:00:01,000", "    Maria pays."]


def test_data_that_is_not_there_is_null() -> None:
    assert format_summary(Summary.model_validate(SUMMARY), "a.wav", AnswerFormat.JSON, whole=False) == "null"


def test_a_running_job_says_how_far_it_is() -> None:
    facts = {"id": "job-1", "created": 1, "audio_bytes": 2_000_000, "attempts": 1, "state": "running"}
    running = JobInfo.model_validate({**facts, "progress": {"stage": "windows", "done": 2, "of": 5}})
    assert job_line(running).endswith("2.0 MB  Taking notes on the parts of the recording, 2 of 5")
    failed = JobInfo.model_validate({**facts, "state": "failed", "error": {"message": "It is no recording."}})
    assert job_line(failed).endswith("It is no recording.")


@pytest.mark.parametrize(
    ("elapsed_s", "done", "of", "shown"),
    [
        (60.0, 2, 6, "about 2:00 left"),
        (1800.0, 1, 4, "about 1:30:00 left"),
        (61.0, 0, 6, "1:01"),
        (7.0, None, None, "0:07"),
    ],
)
def test_the_time_left_is_told_from_the_parts(elapsed_s: float, done: int | None, of: int | None, shown: str) -> None:
    assert time_left_text(elapsed_s, done, of) == shown


def test_the_page_and_the_command_line_have_words_for_the_same_stages() -> None:
    from pathlib import Path

    script = Path(next(iter(web_folder)), "page", "stages.js").read_text()
    known = [line.split(":")[0].strip() for line in script.split("const WORDS = {")[1].split("}")[0].splitlines()[1:]]
    assert len(known) > 9
    assert [stage for stage in known if stage and stage_text(stage).startswith("Working (")] == []


def test_a_terminal_shows_what_is_done_and_is_free_again_afterwards(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress(enabled=True) as progress, progress.task("Sending the recording", "a.wav") as task:
        task.describe("Taking notes", 1, 3)
        with progress.pause():
            print("An answer.")
        task.describe("Taking notes", 2, 3)
    printed = capfd.readouterr()
    assert printed.out == "An answer.\n"
    assert "a.wav: Taking notes" in printed.err
    assert "left" in printed.err
    assert printed.err.rfind("\x1b[?25h") > printed.err.rfind("\x1b[?25l"), "the cursor is hidden"


def test_without_a_terminal_no_progress_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress, progress.task("Sending the recording"):
        pass
    assert capfd.readouterr() == ("", "")
    assert clock_text(0.4) == "0:00"
