"""Prints what a service answers: text, Markdown or JSON on standard output, warnings on standard error."""

import json
import re
import sys
import time
from enum import StrEnum
from typing import Any

from speechsum_client import JobInfo, Summary, Transcript

from app.cli.progress import clock_text, stage_text


class AnswerFormat(StrEnum):
    """How a summary is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def format_summary(summary: Summary, name: str, format: AnswerFormat, *, whole: bool) -> str:
    """Return a summary as it is printed, without a line break at its end.

    name: of the recording. whole: the service's whole answer on one line of JSON, whatever the format.
    """
    if whole:
        return json.dumps({"file": name, **summary.model_dump(mode="json")}, ensure_ascii=False)
    if format is AnswerFormat.JSON:
        return json.dumps(summary.structured, ensure_ascii=False)
    return _markdown(summary, name) if format is AnswerFormat.MARKDOWN else _text(summary)


def print_warnings(summary: Summary, name: str = "") -> None:
    """Print on standard error what a reader of the summary should know. name: of the recording, if there are many."""
    for warning in summary.warnings:
        print(f"{name}: {warning}" if name else f"Note: {warning}", file=sys.stderr)
    if not summary.summary and not summary.warnings:
        print(f"{name or 'The recording'}: nobody speaks, so there is nothing to summarize.", file=sys.stderr)


def job_line(info: JobInfo) -> str:
    """Return a job on one line of a list."""
    return f"{info.id}  {info.state:10} {_moment(info.created)}  {info.audio_bytes / 1e6:8.1f} MB  {_state_text(info)}"


def job_text(info: JobInfo) -> str:
    """Return the facts about a job, a line each."""
    facts: dict[str, Any] = {
        "id": info.id,
        "state": info.state,
        "created": _moment(info.created),
        "started": info.started and _moment(info.started),
        "finished": info.finished and _moment(info.finished),
        "expires": info.expires and _moment(info.expires),
        "recording": f"{info.audio_bytes / 1e6:.1f} MB",
        "progress": _state_text(info),
    }
    return "\n".join(f"{name:10} {value}" for name, value in facts.items() if value)


def _state_text(info: JobInfo) -> str:
    if info.error is not None:
        return info.error.message
    if info.is_final or info.progress is None:
        return ""
    of = f", {info.progress.done} of {info.progress.of}" if (info.progress.of or 0) > 1 else ""
    return stage_text(info.progress.stage) + of


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _text(summary: Summary) -> str:
    """Return a summary, and the answers and the transcript if they were asked for, with empty lines between them."""
    parts = [summary.summary, *(f"{one.question}\n{one.answer}" for one in summary.answers)]
    if summary.transcript is not None:
        parts.append(_transcript_text(summary.transcript))
    return "\n\n".join(parts)


def _transcript_text(transcript: Transcript) -> str:
    """Return a transcript in its format; its segments have a line each, with the time at which it begins."""
    if transcript.segments is None:
        return transcript.text.rstrip("\n")
    return "\n".join(f"{clock_text(one.start)} {one.text}" for one in transcript.segments)


def _markdown(summary: Summary, name: str) -> str:
    """Return a summary as the page at `/` saves it, too."""
    lines = [f"# Summary of {_escape(name)}", "", summary.summary, ""]
    for answer in summary.answers:
        lines += [f"## {_escape(answer.question)}", "", answer.answer, ""]
    if summary.transcript is not None:
        text = _transcript_text(summary.transcript)
        lines += ["## Transcript", "", *(f"    {line}".rstrip() for line in text.splitlines()), ""]
    if summary.warnings:
        lines += ["## What you should know", "", *(f"- {_escape(warning)}" for warning in summary.warnings), ""]
    cited = [one for one in summary.citations if one.times]
    if cited:
        lines += ["## Where it comes from", ""]
        for one in cited:
            sources = ", ".join(f"{clock_text(time.start)}\u2013{clock_text(time.end)}" for time in one.times)
            lines.append(f"- {sources}: {_escape(one.text)}")
        lines.append("")
    return "\n".join([*lines, f"Written by {_escape(summary.model)}."])


def _escape(text: str) -> str:
    """Return a text in which Markdown and HTML mean nothing."""
    return re.sub(r"\s*\n\s*", " ", re.sub(r"([\\`*_\[\]<>#&|])", r"\\\1", text))
