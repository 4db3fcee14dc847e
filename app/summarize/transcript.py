"""The transcript of a whole recording, from what was heard in its windows.

It is what the summary was made from: what the recognizer was too unsure of is not in it. Knows nothing about how speech
is recognized.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.core.asr.subtitles import srt_text, vtt_text
from app.core.asr.transcript import TranscriptSegment
from app.summarize.request import TranscriptFormat, WindowResult


def recording_segments(window_results: Sequence[WindowResult]) -> list[TranscriptSegment]:
    """Return the segments of all windows, in order, with their times in seconds from the start of the recording.

    Whisper reads 30 s at a time and may end a segment behind the end of the sound. Here none ends behind its window.
    """
    segments: list[TranscriptSegment] = []
    for one in window_results:
        window = one.window
        for segment in one.segments:
            start = min(max(window.start + segment.start, segments[-1].start if segments else 0.0), window.end)
            end = max(start, min(window.start + segment.end, window.end))
            segments.append(replace(segment, start=start, end=end))
    return segments


def transcript_text(segments: Sequence[TranscriptSegment], transcript_format: TranscriptFormat) -> str:
    """Return the transcript in the format that was asked for; with `verbose_json` it is plain text."""
    if transcript_format == "srt":
        return srt_text(segments)
    if transcript_format == "vtt":
        return vtt_text(segments)
    return " ".join(one.text for one in segments)
