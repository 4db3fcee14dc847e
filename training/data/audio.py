"""The audio of a record: the part of a file or URI that the record names, as 16 kHz mono samples.

The service's own decoder reads it (`app.core.audio.decode`), so that models are trained on what they are served with:
the same formats, the same mix of channels, the same refusals. A recording that the service reads with a warning, such
as a file that was cut, is not trained on. Knows nothing about models.
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
# An `end` up to so many seconds after the end of the file is a rounded duration. Beyond, the record means another file.
TOLERANCE_S = 0.06
# The service's limits without its limit of the length: that depends on the model, and `training.data.check` checks it.
DECODE_LIMITS = DecodeLimits(max_seconds=float("inf"), max_bytes=1 << 40)
# -66 dBFS. In a blank recording no frame of 50 ms is louder (RMS, without a constant offset).
SILENCE_RMS = 5e-4
FRAME_SAMPLES = SAMPLING_RATE // 20
# Size of the cache of decoded files of which records name parts: each is decoded once and not once for every part.
DECODED_CACHE_BYTES = 512 << 20
# Words of those warnings after which the service and training hear the same, and nothing is damaged.
HARMLESS_WARNINGS = ("of it was scaled by", "aligned before they were mixed")


class BlankAudio(UnusableRecord):
    """Nothing can be heard in the recording. `seconds` is its length."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message, "silent")
        self.seconds = seconds


def read_audio(record: Record) -> NDArray[np.float32]:
    """Return the record's samples, float32 mono at 16 kHz, shape (samples,). Raises UnusableRecord."""
    return _record_part(record, _decode_record(record)[0])


def audio_seconds(record: Record) -> float:
    """Return the length of the record's audio in seconds. Raises UnusableRecord if it cannot be read."""
    return len(read_audio(record)) / SAMPLING_RATE


def check_audio(record: Record, require_speech: bool = False) -> float:
    """Decode all of the record's audio, check it, and return its length in seconds.

    require_speech: also run the service's voice detection, which takes about 4 ms for a second of audio.

    Raises:
        BlankAudio: Nothing can be heard.
        UnusableRecord: The service would refuse the audio or warn about it, because it is missing, damaged or not
            finite; or, with `require_speech`, nobody speaks.
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
    """Return those of the service's warnings that are a reason not to train on a recording."""
    return [warning for warning in warnings if not any(words in warning for words in HARMLESS_WARNINGS)]


def is_blank(samples: NDArray[np.float32]) -> bool:
    """Return whether the samples (float32 mono at 16 kHz) are silent: quieter than any microphone records speech."""
    if not len(samples):
        return True
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    frames = samples[:whole].reshape(-1, FRAME_SAMPLES) if whole else samples[None, :]
    level = frames - frames.mean(1, keepdims=True)
    return bool(np.sqrt((level.astype(np.float64) ** 2).mean(1)).max() < SILENCE_RMS)


def has_speech(samples: NDArray[np.float32]) -> bool:
    """Return whether the service's voice detection finds speech in the samples (float32 mono at 16 kHz)."""
    from app.core.audio.vad import find_speech

    return bool(find_speech(samples))


def audio_key(record: Record) -> tuple[str | None, float | None, float | None]:
    """Return the file and the part of it, which are equal for records with the same audio."""
    return record.audio, record.start, record.end


def audio_file_bytes(record: Record) -> bytes:
    """Return the record's audio as the bytes of a file: of the file itself if the record is all of it, otherwise of a
    float WAV file. Raises OSError or UnusableRecord if it cannot be read.
    """
    if record.audio and not is_uri(record.audio) and record.start is None and record.end is None:
        return Path(record.audio).read_bytes()
    return encode_wav(read_audio(record))


def decode_bytes(data: bytes | mmap.mmap) -> DecodedAudio:
    """Decode the bytes of a file as the service does. Raises ServiceError."""
    return decode(data, DECODE_LIMITS)


@contextmanager
def map_file(file: Path) -> Iterator[bytes | mmap.mmap]:
    """Map the file into memory, so that its bytes are read only when they are used. Raises OSError."""
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
    """Decoded files by name, time and size. The least recently used are dropped first. Safe for several threads."""

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
    """Return all samples of the file that the record names, and the service's warnings. Raises UnusableRecord."""
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
    """Return the samples from the record's start to its end. Raises UnusableRecord if that is outside the file."""
    length = len(whole) / SAMPLING_RATE
    first, last = record.start or 0.0, length if record.end is None else record.end
    if first >= length > 0 or last > length + TOLERANCE_S:
        raise UnusableRecord(
            f"{record.id}: {record.audio} has {length:.2f} s, and the record is its part"
            f"{_part_description(record, last)}",
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
        raise UnusableRecord(
            f"{record.id}: {audio} is a URI, and `fsspec`, which opens URIs, is not installed"
        ) from error
    try:
        opened = fsspec.open(audio, "rb")
    except (ImportError, ValueError) as error:  # an unknown scheme, or one whose package is not installed
        raise UnusableRecord(f"{record.id}: {audio} cannot be opened: {error}", "audio unreadable") from error
    with opened as file:
        yield file.read()
