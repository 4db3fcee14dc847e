"""A recording's bytes → 16 kHz mono float32. One pure function, run in a worker process by `app.workers.decoder_pool`.

A file may hold several recordings, one behind the other; they are read in order. libsndfile reads what it reads whole,
FFmpeg the rest; both feed one sink, which checks the limits block by block. What each recording promised and what was
found are compared at its end. Knows nothing about HTTP, processes or engines.
"""

from dataclasses import dataclass, field
from mmap import mmap
from typing import BinaryIO

import numpy as np

from app.core.audio.byte_ranges import ReadReport, undecodable_error
from app.core.audio.containers.formats import ContainerFormat
from app.core.audio.containers.iff_chunks import missing_share
from app.core.audio.containers.recordings import EmbeddedRecording, UnknownBytes, find_recordings
from app.core.audio.limits import SAMPLE_RATE, DecodeLimits
from app.core.audio.readers import libsndfile
from app.core.audio.sample_sink import SampleSink
from app.core.audio.samples import Samples, StoredSamples
from app.core.errors import Unprocessable

__all__ = ["SAMPLE_RATE", "DecodeLimits", "DecodedAudio", "decode"]

# Differences up to here are a codec's padding, or a chunk's.
_MAX_PADDING_S = 0.1
_MAX_CHUNK_PADDING_S = 0.06


@dataclass(frozen=True)
class DecodedAudio:
    """One decoded recording.

    samples: n of float32, 16 kHz mono, finite, in [-1, 1]. seconds: n / 16000.
    source_format: a key of `app.core.audio.containers.formats.FORMATS`. source_rate (Hz), source_channels: as stored,
    of the first
        recording if the file holds several.
    warnings: everything that is not as the caller sent it, in sentences.
    unread: those of the warnings that say what is missing, or is in the file and was not read. The recording is not
        complete if there are any.
    """

    samples: Samples
    source_format: str
    source_rate: int
    source_channels: int
    seconds: float
    warnings: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Give the samples back, where they lie in a file. Harmless twice."""
        if isinstance(self.samples, StoredSamples):
            self.samples.close()


def decode(data: bytes | mmap, limits: DecodeLimits, file: BinaryIO | None = None) -> DecodedAudio:
    """Decode a whole file.

    The samples are an array, unless they are wanted in a `file` (open for reading and writing): then none are returned.

    Raises `InvalidRequest` (nothing there), `UnsupportedAudio` (no audio format), `TooLarge` (over a limit) or
    `Unprocessable`: codes "undecodable_audio", "unsupported_sample_rate", "too_many_channels", "non_finite_samples",
    "no_audio_track", "empty_audio", "too_many_parts".
    """
    limits.check_bytes(len(data))
    reading = _FileDecoder(limits, file)
    for found in find_recordings(data, limits.max_seconds):
        if isinstance(found, UnknownBytes):
            reading.note_unknown(found)
        else:
            reading.read(found)
    return reading.finish()


class _FileDecoder:
    """Reads the recordings of one file, in order, into one sink."""

    def __init__(self, limits: DecodeLimits, file: BinaryIO | None) -> None:
        self._limits = limits
        self._file = file
        self._sink = SampleSink(limits, file)
        self._recording_count = 0
        self._empty_error: Unprocessable | None = None
        self._container: ContainerFormat | None = None
        self._warnings: list[str] = []
        self._unread: list[str] = []

    def note_unknown(self, gap: UnknownBytes) -> None:
        """Say that there are bytes which nobody reads."""
        count = gap.end - gap.start
        self._unread.append(
            f"{count:,} bytes at byte {gap.start:,} of the file belong to no recording that could be recognized. "
            "They were not read."
        )

    def read(self, part: EmbeddedRecording) -> None:
        """Decode one recording. Raises `ServiceError` where the file is to be refused: for all that its first lacks."""
        self._recording_count += 1
        self._limits.check_parts(self._recording_count)
        try:
            self._read_recording(part)
        except Unprocessable as error:
            if self._container is None:
                raise
            label, place = part.container.label, part.start
            self._unread.append(
                f"A further recording in the file ({label}, byte {place:,}) was not read: {error.message}"
            )
        except MemoryError as error:
            reason = "decoding it takes more memory than a decoder may use"
            raise undecodable_error(part.container.label, reason) from error

    def finish(self) -> DecodedAudio:
        """The recording. Raises `Unprocessable` if there is none."""
        sink, container = self._sink, self._container
        sink.finish()
        if not sink.sample_count or container is None:
            raise self._empty_error or _empty_audio_error()
        warnings = [*self._warnings, *sink.warnings]
        if sink.peak_amplitude > 1:
            scale = 1 / sink.peak_amplitude
            sink.scale(scale)
            warnings.append(
                f"The audio peaks at {sink.peak_amplitude:.4g} times full scale; all of it was scaled by {scale:.4g}."
            )
        samples = sink.samples() if self._file is None else np.zeros(0, np.float32)
        seconds = sink.sample_count / SAMPLE_RATE
        unread = list(dict.fromkeys(self._unread))
        return DecodedAudio(
            samples, container.name, sink.rate, sink.channels, seconds, [*unread, *dict.fromkeys(warnings)], unread
        )

    def _read_recording(self, part: EmbeddedRecording) -> None:
        if part.refusal is not None:
            raise undecodable_error(part.container.label, part.refusal)
        lacks = missing_share(part.data, part.container.name)
        before = self._sink.seconds
        reading = self._decode(part)
        seconds = self._sink.seconds - before
        if not seconds:
            if reading.declared_seconds or lacks:
                raise undecodable_error(part.container.label, "none of the audio it announces is there")
            self._empty_error = _empty_audio_error()
            return
        missing = _missing_audio_warnings(reading, lacks, seconds, self._limits)
        self._warnings += [*part.warnings, *reading.warnings]
        self._unread += [*part.unread, *reading.unread, *missing]
        self._container = self._container or part.container

    def _decode(self, part: EmbeddedRecording) -> ReadReport:
        if part.container.read_by_libsndfile and part.codec != "FLAC":
            before = self._sink.sample_count
            try:
                return libsndfile.read(part.data, self._sink)
            except libsndfile.LibsndfileUnsupported as error:
                if self._container is None:
                    self._sink = SampleSink(self._limits, self._file)
                elif self._sink.sample_count > before:
                    raise undecodable_error(part.container.label, str(error)) from error
        from app.core.audio.readers import ffmpeg

        return ffmpeg.read(part.data, part.container, self._sink)


def _empty_audio_error() -> Unprocessable:
    return Unprocessable("The file holds no audio: its length is zero.", code="empty_audio", param="file")


def _missing_audio_warnings(reading: ReadReport, lacks: float, seconds: float, limits: DecodeLimits) -> list[str]:
    """Sentences about seconds announced and not found; raises `Unprocessable` where they are too many.

    lacks: share of the audio chunk that the recording does not hold. seconds: decoded of it.
    """
    stated, chunk = reading.declared_seconds or 0.0, seconds / (1 - lacks) if lacks < 1 else 0.0
    promised = max(stated, chunk)
    missing = promised - seconds if stated - seconds > _MAX_PADDING_S or chunk - seconds > _MAX_CHUNK_PADDING_S else 0.0
    # A damaged packet either is missing at the end or was filled with silence: counted once, whichever shows more.
    limits.check_missing(max(missing, reading.damaged_seconds), seconds)
    if not missing:
        return []
    return [f"The file promises {promised:,.2f} s and holds {seconds:,.2f} s: {missing:,.2f} s are missing."]
