"""A record's audio: the stretch of the file or URI that it names, as 16 kHz mono samples.

What is stored otherwise is mixed and resampled as the service does it, at every reading: `speechsum-train data prepare`
does it once, and reads what libsndfile does not. Knows nothing about models.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.errors import ServiceError
from training.corpus.record import Record
from training.records import BadExample, is_uri

SAMPLING_RATE = 16_000
BLOCK = 1 << 18  # frames decoded at once where a file is only gone through
# Ends up to here past the file's are a rounded duration; beyond, the record means another file.
TOLERANCE_S = 0.06


def read_audio(record: Record) -> NDArray[np.float32]:
    """The record's samples, float32 mono at 16 kHz. Raises `BadExample`."""
    with _opened(record) as (file, frames):
        if (file.samplerate, file.channels) == (SAMPLING_RATE, 1):
            samples = file.read(frames, dtype="float32")
            _complete(record, file, len(samples), frames)
        else:
            samples = _resampled(record, file, frames)
    if not np.isfinite(samples).all():
        raise _not_finite(record)
    return samples


def seconds_of(record: Record) -> float:
    """Length of the record's audio as the file's header has it; nothing is decoded. Raises `BadExample`."""
    with _opened(record) as (file, frames):
        return float(frames / file.samplerate)


def go_through(record: Record) -> None:
    """Decode all of the record's audio and keep none. Raises `BadExample` where something of it is not there or not
    finite.
    """
    with _opened(record) as (file, frames):
        found = 0
        for block in _blocks(file, frames):
            found += len(block)
            if not np.isfinite(block).all():
                raise _not_finite(record)
        _complete(record, file, found, frames)


def stretch(record: Record) -> tuple[str | None, float | None, float | None]:
    """What tells one record's audio from another's: the file and the part of it."""
    return record.audio, record.start, record.end


def as_file(record: Record) -> bytes:
    """The record's audio as a file of its own: the bytes as they are where it is all of a file, else a WAV file."""
    if record.audio and not is_uri(record.audio) and record.start is None and record.end is None:
        return Path(record.audio).read_bytes()
    with io.BytesIO() as out:
        soundfile.write(out, read_audio(record), SAMPLING_RATE, format="WAV", subtype="FLOAT")
        return out.getvalue()


@contextmanager
def _opened(record: Record) -> Iterator[tuple[soundfile.SoundFile, int]]:
    """The file, standing where the record begins, and the frames up to its end."""
    if not record.audio:
        raise BadExample(f"{record.id}: has no audio", "no audio")
    if not is_uri(record.audio) and not Path(record.audio).is_file():
        raise BadExample(f"{record.id}: {record.audio} cannot be read: there is no such file", "audio missing")
    try:
        with _bytes(record) as source, soundfile.SoundFile(source) as file:
            rate = file.samplerate
            length = file.frames / rate
            first, last = record.start or 0.0, length if record.end is None else record.end
            if first >= length > 0 or last > length + TOLERANCE_S:
                raise BadExample(
                    f"{record.id}: {record.audio} has {length:.2f} s, the record is its part from {first:g} to "
                    f"{last:g} s",
                    "outside its file",
                )
            file.seek(round(first * rate))
            yield file, min(round(last * rate), file.frames) - round(first * rate)
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadExample(
            f"{record.id}: {record.audio} cannot be read: {error}; `speechsum-train data prepare` takes other formats",
            "audio unreadable",
        ) from error


@contextmanager
def _bytes(record: Record) -> Iterator[Any]:
    audio = str(record.audio)
    if not is_uri(audio):
        yield audio
        return
    try:
        import fsspec
    except ImportError as error:
        raise BadExample(f"{record.id}: {audio} is a URI; `fsspec` would open it, and is not installed") from error
    try:
        opened = fsspec.open(audio, "rb")
    except (ImportError, ValueError) as error:  # a scheme it does not know, or knows and lacks the package for
        raise BadExample(f"{record.id}: {audio} cannot be opened: {error}", "audio unreadable") from error
    with opened as file:
        yield file


def _blocks(file: soundfile.SoundFile, frames: int) -> Iterator[NDArray[np.float32]]:
    """(frames, channels) at the file's own rate."""
    while frames > 0 and len(block := file.read(min(BLOCK, frames), dtype="float32", always_2d=True)):
        frames -= len(block)
        yield block


def _resampled(record: Record, file: soundfile.SoundFile, frames: int) -> NDArray[np.float32]:
    from app.audio.limits import DecodeLimits
    from app.audio.sink import Sink

    sink, found = Sink(DecodeLimits(max_seconds=float("inf"))), 0
    try:
        for block in _blocks(file, frames):
            sink.write(block, file.samplerate)
            found += len(block)
        sink.finish()
    except ServiceError as error:
        if error.code == "non_finite_samples":
            raise _not_finite(record) from error
        raise BadExample(f"{record.id}: {record.audio}: {error.message}", "audio unreadable") from error
    _complete(record, file, found, frames)
    return sink.samples() / np.float32(max(sink.peak, 1))


def _complete(record: Record, file: soundfile.SoundFile, found: int, frames: int) -> None:
    if frames - found > TOLERANCE_S * file.samplerate:
        held, said = found / file.samplerate, frames / file.samplerate
        message = f"{record.id}: {record.audio} breaks off: {held:.2f} s of {said:.2f} s are there"
        raise BadExample(message, "audio unreadable")


def _not_finite(record: Record) -> BadExample:
    return BadExample(f"{record.id}: {record.audio} holds samples that are not finite", "not finite")
