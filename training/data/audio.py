"""A record's audio: the stretch of the file or URI that it names, as 16 kHz mono samples.

It is read by the service's own reader (`app.core.audio.decode`), so that what is trained on is what is served: the same
formats, the same mix of channels, the same refusals. What the service would only warn about, such as a file that was
cut, is a reason not to train on it. Knows nothing about models.
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.audio.decode import DecodedAudio, decode
from app.core.audio.limits import DecodeLimits
from app.core.audio.wav import encode_wav
from app.core.errors import ServiceError
from training.data.record import Record
from training.data.record_files import UnusableRecord, is_uri
from training.runtime.path_problems import file_problem, read_error_text

SAMPLING_RATE = 16_000
# Ends up to here past the file's are a rounded duration; beyond, the record means another file.
TOLERANCE_S = 0.06
# As the service has it but for the length: that is for the model to limit, which is checked apart.
DECODE_LIMITS = DecodeLimits(max_seconds=float("inf"), max_bytes=1 << 40)
SILENCE_RMS = 5e-4  # -66 dBFS: no twentieth of a second is louder (RMS, without a constant offset) in a blank recording
FRAME_SAMPLES = SAMPLING_RATE // 20
DECODED_CACHE_BYTES = (
    512 << 20
)  # of decoded files of which records name parts, so that each is not decoded for every part
# In the warnings that say nothing is wrong with what is heard, by the service and by training alike.
HARMLESS_WARNINGS = ("of it was scaled by", "aligned before they were mixed")


class BlankAudio(UnusableRecord):
    """A recording in which nothing can be heard. seconds: its length."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, "silent")
        self.seconds = seconds


def read_audio(record: Record) -> NDArray[np.float32]:
    """The record's samples, float32 mono at 16 kHz. Raises `BadExample`."""
    return _record_part(record, _decode_record(record)[0])


def audio_seconds(record: Record) -> float:
    """Length of the record's audio. Raises `BadExample`."""
    return len(read_audio(record)) / SAMPLING_RATE


def check_audio(record: Record, require_speech: bool = False) -> float:
    """Look at all of the record's audio; returns its length in seconds.

    speech: also run the service's voice detection, which takes about 4 ms for a second of audio. Raises `BadExample`
    where the service would refuse or warn: something is missing, damaged or not finite, nothing can be heard, or with
    `speech` nobody speaks.
    """
    whole, warnings = _decode_record(record)
    samples = _record_part(record, whole)
    seconds = len(samples) / SAMPLING_RATE
    if said := damage_warnings(warnings):
        raise UnusableRecord(f"{record.id}: {record.audio}: {' '.join(said)}", "audio damaged")
    if is_blank(samples):
        raise BlankAudio(f"{record.id}: {record.audio} is silent{_part_description(record)}", seconds)
    if require_speech and not has_speech(samples):
        raise UnusableRecord(f"{record.id}: {record.audio} holds no speech{_part_description(record)}", "no speech")
    return seconds


def damage_warnings(warnings: Iterable[str]) -> list[str]:
    """Those of the service's warnings that are a reason not to train on a recording."""
    return [warning for warning in warnings if not any(words in warning for words in HARMLESS_WARNINGS)]


def is_blank(samples: NDArray[np.float32]) -> bool:
    """Whether nothing can be heard in the samples, at any volume that a microphone has."""
    if not len(samples):
        return True
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    frames = samples[:whole].reshape(-1, FRAME_SAMPLES) if whole else samples[None, :]
    level = frames - frames.mean(1, keepdims=True)
    return bool(np.sqrt((level.astype(np.float64) ** 2).mean(1)).max() < SILENCE_RMS)


def has_speech(samples: NDArray[np.float32]) -> bool:
    """Whether the service's voice detection hears somebody."""
    from app.core.audio.vad import find_speech

    return bool(find_speech(samples))


def audio_key(record: Record) -> tuple[str | None, float | None, float | None]:
    """What tells one record's audio from another's: the file and the part of it."""
    return record.audio, record.start, record.end


def audio_file_bytes(record: Record) -> bytes:
    """The record's audio as a file of its own: the bytes as they are where it is all of a file, else a WAV file."""
    if record.audio and not is_uri(record.audio) and record.start is None and record.end is None:
        return Path(record.audio).read_bytes()
    return encode_wav(read_audio(record))


def decode_bytes(data: bytes | mmap.mmap) -> DecodedAudio:
    """What the service makes of a file. Raises `ServiceError`."""
    return decode(data, DECODE_LIMITS)


@contextmanager
def map_file(file: Path) -> Iterator[bytes | mmap.mmap]:
    """A file's bytes, not read before they are needed. Raises OSError."""
    with file.open("rb") as opened:
        if not os.fstat(opened.fileno()).st_size:
            yield b""
            return
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as found:
            yield found


def audio_file_problem(record: Record) -> str | None:
    """Return why the record's audio file cannot be opened, or None. Neither URIs nor the content are checked."""
    return file_problem(Path(record.audio)) if record.audio and not is_uri(record.audio) else None


class _DecodedCache:
    """Decoded files by name and time, the least used forgotten first."""

    def __init__(self) -> None:
        self._lock, self._files, self._bytes = Lock(), OrderedDict[Any, tuple[NDArray[np.float32], list[str]]](), 0

    def get(self, key: Any) -> tuple[NDArray[np.float32], list[str]] | None:
        with self._lock:
            if found := self._files.get(key):
                self._files.move_to_end(key)
            return found

    def put(self, key: Any, found: tuple[NDArray[np.float32], list[str]]) -> None:
        with self._lock:
            if key in self._files or found[0].nbytes > DECODED_CACHE_BYTES:
                return
            self._files[key] = found
            self._bytes += found[0].nbytes
            while self._bytes > DECODED_CACHE_BYTES:
                self._bytes -= self._files.popitem(last=False)[1][0].nbytes


_decoded_cache = _DecodedCache()


def _decode_record(record: Record) -> tuple[NDArray[np.float32], list[str]]:
    """All samples of the file that the record names, and the service's warnings."""
    if not record.audio:
        raise UnusableRecord(f"{record.id}: has no audio", "no audio")
    if problem := audio_file_problem(record):
        reason = "audio missing" if problem == "does not exist" else "audio unreadable"
        raise UnusableRecord(f"{record.id}: {record.audio} {problem}", reason)
    key = None
    try:
        if (record.start is not None or record.end is not None) and not is_uri(record.audio):
            about = os.stat(record.audio)
            key = record.audio, about.st_mtime_ns, about.st_size
            if found := _decoded_cache.get(key):
                return found
        with _audio_bytes(record) as data:
            decoded = decode_bytes(data)
            found = decoded.samples[:], list(decoded.warnings)
    except ServiceError as error:
        if error.code == "non_finite_samples":
            raise UnusableRecord(
                f"{record.id}: {record.audio} holds samples that are not finite", "not finite"
            ) from error
        raise UnusableRecord(
            f"{record.id}: {record.audio} cannot be read: {error.message}", "audio unreadable"
        ) from error
    except OSError as error:
        raise UnusableRecord(f"{record.id}: {record.audio} {read_error_text(error)}", "audio unreadable") from error
    if key:
        _decoded_cache.put(key, found)
    return found


def _record_part(record: Record, whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples from the record's start to its end."""
    length = len(whole) / SAMPLING_RATE
    first, last = record.start or 0.0, length if record.end is None else record.end
    if first >= length > 0 or last > length + TOLERANCE_S:
        raise UnusableRecord(
            f"{record.id}: {record.audio} has {length:.2f} s, the record is its part{_part_description(record, last)}",
            "outside its file",
        )
    return whole[round(first * SAMPLING_RATE) : round(last * SAMPLING_RATE)]


def _part_description(record: Record, last: float | None = None) -> str:
    if record.start is None and record.end is None:
        return ""
    end = record.end if last is None else last
    return f" from {record.start or 0:g}" + (f" to {end:g} s" if end is not None else " s on")


@contextmanager
def _audio_bytes(record: Record) -> Iterator[bytes | mmap.mmap]:
    audio = str(record.audio)
    if not is_uri(audio):
        with map_file(Path(audio)) as data:
            yield data
        return
    try:
        import fsspec
    except ImportError as error:
        raise UnusableRecord(f"{record.id}: {audio} is a URI; `fsspec` would open it, and is not installed") from error
    try:
        opened = fsspec.open(audio, "rb")
    except (ImportError, ValueError) as error:  # a scheme it does not know, or knows and lacks the package for
        raise UnusableRecord(f"{record.id}: {audio} cannot be opened: {error}", "audio unreadable") from error
    with opened as file:
        yield file.read()
