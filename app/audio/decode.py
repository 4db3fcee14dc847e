"""A recording's bytes → 16 kHz mono float32. One pure function, run in a worker process by `app.audio.pool`.

libsndfile reads what it reads whole, FFmpeg the rest; both feed one sink, which checks the limits block by block. What
the file promised and what was found are compared at the end. Knows nothing about HTTP, processes or engines.
"""

from dataclasses import dataclass, field
from mmap import mmap
from typing import BinaryIO

import numpy as np

from app.audio import av_reader, sndfile_reader
from app.audio.chunks import lacking
from app.audio.limits import SAMPLE_RATE, DecodeLimits
from app.audio.ogg import survey
from app.audio.reading import Reading, undecodable
from app.audio.samples import Samples, StoredSamples
from app.audio.sink import Sink
from app.audio.sniff import FORMATS, Format, sniff
from app.errors import Unprocessable

__all__ = ["SAMPLE_RATE", "DecodeLimits", "DecodedAudio", "decode"]

# Differences up to here are a codec's padding.
_PADDING_S = 0.06


@dataclass(frozen=True)
class DecodedAudio:
    """One decoded recording.

    samples: n of float32, 16 kHz mono, finite, in [-1, 1]. seconds: n / 16000.
    source_format: a key of `app.audio.sniff.FORMATS`. source_rate (Hz), source_channels: as stored.
    warnings: everything that is not as the caller sent it, in sentences.
    """

    samples: Samples
    source_format: str
    source_rate: int
    source_channels: int
    seconds: float
    warnings: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Give the samples back, where they lie in a file. Harmless twice."""
        if isinstance(self.samples, StoredSamples):
            self.samples.close()


def decode(data: bytes | mmap, limits: DecodeLimits, file: BinaryIO | None = None) -> DecodedAudio:
    """Decode a whole file.

    The samples are an array, unless they are wanted in a `file` (open for reading and writing): then none are returned.

    Raises `InvalidRequest` (nothing there), `UnsupportedAudio` (no audio format), `TooLarge` (over a limit) or
    `Unprocessable`: codes "undecodable_audio", "unsupported_sample_rate", "too_many_channels", "non_finite_samples",
    "no_audio_track", "empty_audio".
    """
    container = FORMATS[sniff(data)]
    limits.check_bytes(len(data))
    lacks = lacking(data, container.name)
    try:
        sink, reading = _read(data, container, limits, file)
        sink.finish()
    except MemoryError as error:
        raise undecodable(container.label, "decoding it takes more memory than a decoder may use") from error
    if not sink.count:
        if reading.promised or lacks:
            raise undecodable(container.label, "none of the audio it announces is there")
        raise Unprocessable("The file holds no audio: its length is zero.", code="empty_audio", param="file")
    warnings = [*reading.warnings, *sink.warnings, *_missing(reading, lacks, sink)]
    if sink.peak > 1:
        scale = 1 / sink.peak
        sink.scale(scale)
        warnings.append(f"The audio peaks at {sink.peak:.4g} times full scale; all of it was scaled by {scale:.4g}.")
    samples = sink.samples() if file is None else np.zeros(0, np.float32)
    return DecodedAudio(samples, container.name, sink.rate, sink.channels, sink.count / SAMPLE_RATE, warnings)


def _read(data: bytes | mmap, container: Format, limits: DecodeLimits, file: BinaryIO | None) -> tuple[Sink, Reading]:
    pages = survey(data) if container.name == "ogg" else None
    sink, reading = _read_whole(data, container, limits, file, chained=pages is not None and pages.links > 1)
    if pages is not None:
        if pages.broken:
            reason = f"it breaks off or is damaged within a page; {sink.seconds:,.2f} s were found"
            raise undecodable(container.label, reason)
        if not pages.ended:
            reading.warnings.append("The Ogg stream has no end mark: the recording may have been cut off.")
    return sink, reading


def _read_whole(
    data: bytes | mmap, container: Format, limits: DecodeLimits, file: BinaryIO | None, *, chained: bool
) -> tuple[Sink, Reading]:
    if container.libsndfile and not chained:
        sink = Sink(limits, file)
        try:
            return sink, sndfile_reader.read(data, sink)
        except sndfile_reader.NotForLibsndfile:
            pass
    sink = Sink(limits, file)
    return sink, av_reader.read(data, container, sink)


def _missing(reading: Reading, lacks: float, sink: Sink) -> list[str]:
    """Warnings about seconds announced and not found; raises `Unprocessable` where they are too many.

    lacks: share of the audio chunk that the file does not hold.
    """
    promised = max(reading.promised or 0.0, sink.seconds / (1 - lacks) if lacks < 1 else 0.0)
    missing = promised - sink.seconds if promised - sink.seconds > _PADDING_S else 0.0
    # A damaged packet either is missing at the end or was filled with silence: counted once, whichever shows more.
    sink.limits.check_missing(max(missing, reading.damaged), sink.seconds)
    if not missing:
        return []
    return [f"The file promises {promised:,.2f} s and holds {sink.seconds:,.2f} s: {missing:,.2f} s are missing."]
