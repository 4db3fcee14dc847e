"""Decodes the bytes of a file to 16 kHz mono float32 samples. `app.workers.decoder_pool` runs it in worker processes.

A file may hold several recordings, one after another; they are read in order. libsndfile reads the formats that it
reads completely, FFmpeg reads the rest. Both write into one sink, which checks the limits block by block. At the end of
each recording, the length that its headers announce is compared with what was found. This module knows nothing about
HTTP, processes or engines.
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

# A file may announce this much more than it holds: a codec's padding, or a chunk's.
_MAX_PADDING_S = 0.1
_MAX_CHUNK_PADDING_S = 0.06


@dataclass(frozen=True)
class DecodedAudio:
    """One decoded file.

    Attributes:
        samples: float32, shape (n,), 16 kHz mono, finite, in [-1, 1].
        source_format: A key of `app.core.audio.containers.formats.FORMATS`, of the first recording of the file.
        source_rate: Sampling rate of the first recording as stored, in Hz.
        source_channels: Channels of the first recording as stored.
        seconds: n / 16000.
        warnings: Sentences about everything that differs from what the caller sent.
        unread: The warnings about audio that is missing, or is in the file and was not read. If there are any, the
            recording is not complete.
    """

    samples: Samples
    source_format: str
    source_rate: int
    source_channels: int
    seconds: float
    warnings: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Close the file of the samples, if they lie in one. Calling it again does nothing."""
        if isinstance(self.samples, StoredSamples):
            self.samples.close()


def decode(data: bytes | mmap, limits: DecodeLimits, file: BinaryIO | None = None) -> DecodedAudio:
    """Decode a whole file.

    Args:
        data: The file's bytes.
        limits: What the recording may be.
        file: Where the samples are written (open for reading and writing). The result then has none. Without it, the
            result has them as an array.

    Raises:
        InvalidRequest: If the file is empty.
        UnsupportedAudio: If it is in no audio format that is read here.
        TooLarge: If a limit is exceeded (codes "upload_too_large", "audio_too_long", "too_many_samples",
            "too_many_parts").
        Unprocessable: Codes "undecodable_audio", "unsupported_sample_rate", "too_many_channels", "non_finite_samples",
            "no_audio_track", "empty_audio".
    """
    limits.check_bytes(len(data))
    decoder = _FileDecoder(limits, file)
    for found in find_recordings(data, limits.max_seconds):
        if isinstance(found, UnknownBytes):
            decoder.note_unknown(found)
        else:
            decoder.read(found)
    return decoder.finish()


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
        """Add a warning about bytes that are not read."""
        count = gap.end - gap.start
        self._unread.append(
            f"{count:,} bytes at byte {gap.start:,} of the file belong to no recording that could be recognized. "
            "They were not read."
        )

    def read(self, part: EmbeddedRecording) -> None:
        """Decode one recording. Raises `ServiceError` if the file is refused: for any fault of its first recording."""
        self._recording_count += 1
        self._limits.check_parts(self._recording_count)
        try:
            self._read_recording(part)
        except Unprocessable as error:
            if self._container is None:
                raise
            label, position = part.container.label, part.start
            self._unread.append(
                f"A further recording in the file ({label}, byte {position:,}) was not read: {error.message}"
            )
        except MemoryError as error:
            reason = "decoding it takes more memory than a decoder may use"
            raise undecodable_error(part.container.label, reason) from error

    def finish(self) -> DecodedAudio:
        """Return the decoded file. Raises `Unprocessable` if it held no audio."""
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
        missing_chunk_share = missing_share(part.data, part.container.name)
        before = self._sink.seconds
        reading = self._decode(part)
        seconds = self._sink.seconds - before
        if not seconds:
            if reading.declared_seconds or missing_chunk_share:
                raise undecodable_error(part.container.label, "none of the audio it announces is there")
            self._empty_error = _empty_audio_error()
            return
        missing = _missing_audio_warnings(reading, missing_chunk_share, seconds, self._limits)
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


def _missing_audio_warnings(
    reading: ReadReport, missing_chunk_share: float, seconds: float, limits: DecodeLimits
) -> list[str]:
    """Return warnings about audio that was announced and not found. Raises `Unprocessable` if it is too much.

    Args:
        reading: What the reader found out.
        missing_chunk_share: Share of the audio chunk that the file does not hold, 0 to 1.
        seconds: Seconds that were decoded.
        limits: Limit on the missing seconds.
    """
    by_header = reading.declared_seconds or 0.0
    by_chunk = seconds / (1 - missing_chunk_share) if missing_chunk_share < 1 else 0.0
    announced = max(by_header, by_chunk)
    is_short = by_header - seconds > _MAX_PADDING_S or by_chunk - seconds > _MAX_CHUNK_PADDING_S
    missing = announced - seconds if is_short else 0.0
    # A damaged packet is missing at the end or was replaced by silence. It counts once, by the larger of the two.
    limits.check_missing(max(missing, reading.damaged_seconds), seconds)
    if not missing:
        return []
    return [f"The file announces {announced:,.2f} s and holds {seconds:,.2f} s: {missing:,.2f} s are missing."]
