"""Reads WAV, AIFF, AU, CAF, W64, SPHERE and Ogg through libsndfile, block by block, into a sink."""

import soundfile

from app.core.audio.byte_ranges import Reading, Stretch, View
from app.core.audio.sample_sink import Sink

_BLOCK_SAMPLES = 1 << 17
_UNKNOWN_FRAMES = 1 << 62


class NotForLibsndfile(Exception):
    """libsndfile does not read this file, or not all of it."""


def read(data: Stretch, sink: Sink) -> Reading:
    """Decode all of `data` into `sink`.

    Raises `NotForLibsndfile` (the sink is then spoilt) and what the sink raises.
    """
    before = sink.seconds
    try:
        with soundfile.SoundFile(View(data)) as source:
            _check_announced(source, sink)
            while len(block := source.read(_BLOCK_SAMPLES // source.channels, dtype="float32", always_2d=True)):
                sink.write(block, source.samplerate)
            promised = _promised_seconds(source)
    except soundfile.SoundFileError as error:
        raise NotForLibsndfile(str(error)) from error
    if sink.seconds == before and len(data) > 4096:
        # A WAV whose writer never came back to note its size: FFmpeg reads to the end of the file.
        raise NotForLibsndfile("no frames in a file of some size")
    return Reading(promised=promised)


def _check_announced(source: soundfile.SoundFile, sink: Sink) -> None:
    sink.limits.check_source(source.samplerate, source.channels)
    if source.frames < _UNKNOWN_FRAMES:
        sink.limits.check_seconds(sink.seconds + source.frames / source.samplerate, whole=True)


def _promised_seconds(source: soundfile.SoundFile) -> float | None:
    return None if source.frames >= _UNKNOWN_FRAMES else source.frames / source.samplerate
