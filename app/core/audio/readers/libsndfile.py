"""Reads WAV, AIFF, AU, CAF, W64, SPHERE and Ogg through libsndfile, block by block, into a sink."""

import soundfile

from app.core.audio.byte_ranges import ByteRanges, ByteRangesFile, ReadReport
from app.core.audio.sample_sink import SampleSink

_BLOCK_SAMPLES = 1 << 17
_UNKNOWN_FRAME_COUNT = 1 << 62


class LibsndfileUnsupported(Exception):
    """libsndfile cannot read this file, or not all of it."""


def read(data: ByteRanges, sink: SampleSink) -> ReadReport:
    """Decode a recording into a sink.

    Raises:
        LibsndfileUnsupported: If libsndfile cannot read it. The sink may then hold a part of it.
        ServiceError: As the sink raises it.
    """
    before = sink.seconds
    try:
        with soundfile.SoundFile(ByteRangesFile(data)) as source:
            _check_declared(source, sink)
            while len(block := source.read(_BLOCK_SAMPLES // source.channels, dtype="float32", always_2d=True)):
                sink.write(block, source.samplerate)
            declared_seconds = _declared_seconds(source)
    except soundfile.SoundFileError as error:
        raise LibsndfileUnsupported(str(error)) from error
    if sink.seconds == before and len(data) > 4096:
        # A WAV file whose writer never stored its size: FFmpeg reads it to the end of the file.
        raise LibsndfileUnsupported("the file is not empty, but no frames were found")
    return ReadReport(declared_seconds=declared_seconds)


def _check_declared(source: soundfile.SoundFile, sink: SampleSink) -> None:
    sink.limits.check_source(source.samplerate, source.channels)
    if source.frames < _UNKNOWN_FRAME_COUNT:
        sink.limits.check_seconds(sink.seconds + source.frames / source.samplerate, is_total=True)


def _declared_seconds(source: soundfile.SoundFile) -> float | None:
    return None if source.frames >= _UNKNOWN_FRAME_COUNT else source.frames / source.samplerate
