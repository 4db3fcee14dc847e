"""Keeps a recording that was read, for further requests, and tells which models can read what was kept.

Knows nothing about who may read it; that is in `app.recordings.store`.
"""

from dataclasses import replace

from app.core.errors import Conflict
from app.engine.model_info import ModelInfo
from app.recordings.content import RecordingContent
from app.settings import LongSettings, RecordingSettings, setting_name
from app.summarize.recording_reader import RecordingReader
from app.summarize.recording_windows import longest_pass_seconds
from app.summarize.request import Summary

_LENGTH_TOLERANCE_S = 0.01  # of a window, whose ends are rounded to samples


def check_readable(content: RecordingContent, model: ModelInfo, settings: LongSettings) -> None:
    """Raise Conflict (409) if only a transcript of the recording was kept, and the model cannot read it."""
    if not content.transcripts:
        return
    longest_s, pass_s = content.longest_transcript_s, longest_pass_seconds(settings, model)
    if not model.has_transcript:
        problem = "hears recordings itself and reads no transcript"
    elif longest_s > pass_s + _LENGTH_TOLERANCE_S:
        problem = f"reads at most {pass_s:g} seconds at a time, of which the transcript has {longest_s:.0f}"
    else:
        return
    raise Conflict(
        f"Only the transcript of this recording was kept, as {content.model} heard it, and {model.id} {problem}. Name "
        "a model that can read it in `model`, or send the recording again.",
        code="recording_not_readable",
        param="model",
    )


def keep_recording(
    summary: Summary,
    content: RecordingContent,
    reader: RecordingReader | None,
    model: ModelInfo,
    settings: RecordingSettings,
) -> tuple[Summary, bool]:
    """Keep the recording of a summary, if its request asks for that. Without speech, or if what was heard in it is
    known, the samples are not kept.

    Returns:
        The summary, which says whether the recording was kept, and whether its samples were, which then stay open.
    """
    if summary.request.keep_recording is None:
        return summary, False
    transcripts = reader.recording.transcripts() if reader else []
    if transcripts is not None:
        content = content.with_transcripts(transcripts, summary.request.background.vocabulary)
    kept = summary.request.keep_recording(replace(content, model=model.id))
    if kept is not None:
        return replace(summary, kept=kept), transcripts is None
    warning = (
        f"The recording was not kept: it takes {content.size_bytes} bytes, and all kept recordings may take "
        f"{settings.max_bytes}. The setting is {setting_name('recordings', 'max_bytes')}."
    )
    return replace(summary, warnings=[*summary.warnings, warning]), False
