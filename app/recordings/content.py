"""What is kept of a recording: either the transcript of its windows, or its decoded samples.

A cascade needs only the transcript to write another summary, and then nobody's voice is kept. A model that hears the
recording itself needs the samples. Knows nothing about who may read it, or for how long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.core.asr.transcript import Transcript
from app.core.audio.decode import DecodedAudio
from app.core.audio.samples import BYTES_PER_SAMPLE
from app.core.audio.vad_second_pass import SpeechDetection
from app.core.audio.windows import Window

# Memory in bytes of a recording, of a segment of its transcript beside the text, and of a span of speech: measured with
# `tracemalloc` (2,185, 341 and 111) and rounded up. A term of the vocabulary takes less than a span beside its text.
_RECORDING_BYTES = 4096
_SEGMENT_BYTES = 512
_SPAN_BYTES = 128


@dataclass(frozen=True)
class WindowTranscript:
    """What a recognizer heard in one window, before anything uncertain is left out."""

    window: Window
    transcript: Transcript


@dataclass(frozen=True)
class RecordingContent:
    """A recording that was decoded, and in which speech was looked for.

    Attributes:
        audio: Its facts and warnings, and its samples. Without samples if `transcripts` are there.
        detection: Where somebody speaks in it, and the warnings about that.
        transcripts: What was heard in its windows, which together hold all speech. None if that is not known.
        model: Id of the model that read it. Empty until it was read.
        vocabulary: The names and terms that the recognizer listened for, if `transcripts` are there.
    """

    audio: DecodedAudio
    detection: SpeechDetection
    transcripts: tuple[WindowTranscript, ...] | None = None
    model: str = ""
    vocabulary: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes: on the disk for samples, in memory for transcripts."""
        segments = [segment for one in self.transcripts or () for segment in one.transcript.segments]
        text_bytes = sum(_SEGMENT_BYTES + len(segment.text.encode()) for segment in segments)
        text_bytes += sum(_SPAN_BYTES + len(term.encode()) for term in self.vocabulary)
        spans = len(self.detection.spans) + len(self.detection.faint) + len(self.detection.uncertain)
        return _RECORDING_BYTES + _SPAN_BYTES * spans + text_bytes + BYTES_PER_SAMPLE * len(self.audio.samples)

    @property
    def longest_transcript_s(self) -> float:
        """Length of the longest window that only a transcript is left of, in seconds; 0 if there is none."""
        return max((one.window.seconds for one in self.transcripts or ()), default=0.0)

    def with_transcripts(
        self, transcripts: Sequence[WindowTranscript], vocabulary: tuple[str, ...] = ()
    ) -> "RecordingContent":
        """Return the recording as its transcripts, without its samples, which stay open.

        vocabulary: the names and terms that the recognizer listened for.
        """
        audio = replace(self.audio, samples=np.zeros(0, np.float32))
        return replace(self, audio=audio, transcripts=tuple(transcripts), vocabulary=vocabulary)

    def was_heard_with(self, vocabulary: tuple[str, ...]) -> bool:
        """Return whether a recognizer would listen for the same names and terms now, or has not heard it at all."""
        return not self.transcripts or set(self.vocabulary) == set(vocabulary)

    def close(self) -> None:
        """Close the file of the samples, if there is one. Calling it again does nothing."""
        self.audio.close()
