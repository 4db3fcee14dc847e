"""Writes the segments of a transcript as subtitles: SubRip (.srt) and WebVTT (.vtt).

Sources: https://www.w3.org/TR/webvtt1/ for WebVTT; SubRip has no standard, and this is the form that OpenAI's
transcriptions and FFmpeg write. Knows nothing about where segments come from.
"""

from collections.abc import Sequence

from app.core.asr.transcript import TranscriptSegment


def srt_text(segments: Sequence[TranscriptSegment]) -> str:
    """Return the segments as SubRip. It is empty if there are none."""
    cues = (
        f"{number}\n{_time(one.start, ',')} --> {_time(one.end, ',')}\n{_plain_line(one.text)}\n"
        for number, one in enumerate(segments, 1)
    )
    return "\n".join(cues)


def vtt_text(segments: Sequence[TranscriptSegment]) -> str:
    """Return the segments as WebVTT. Without segments it is the header alone."""
    cues = (f"\n{_time(one.start, '.')} --> {_time(one.end, '.')}\n{_vtt_line(one.text)}\n" for one in segments)
    return "WEBVTT\n" + "".join(cues)


def _plain_line(text: str) -> str:
    """Return a text on one line that no reader takes for the times of a cue."""
    return " ".join(text.split()).replace("-->", "->")


def _vtt_line(text: str) -> str:
    """Return a text on one line with what WebVTT reads as markup escaped."""
    return _plain_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float, mark: str) -> str:
    """Return a time as hours, minutes, seconds and milliseconds. mark: in front of the milliseconds."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, fraction = divmod(rest, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{mark}{fraction:03}"
