"""Where the recordings of people come from: sounds in Debian packages, and noise without anyone in it.

The packages are downloaded with apt once, unpacked in the cache, and never installed; a run that was ended continues
with the next package. `read_sounds` finds the sounds by their paths inside the packages, and their digest decides
whether they are the ones that the transcripts belong to. Knows nothing about transcripts and facts.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.core.errors import ServiceError
from model_repo.cache import cache_root
from training.data.audio import SAMPLING_RATE, decode_bytes

PACKAGES = (
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-es-wav",
    "asterisk-core-sounds-fr-wav",
    "asterisk-core-sounds-it-wav",
    "asterisk-core-sounds-ru-wav",
    "asterisk-moh-opsound-wav",
    "codec2-examples",
    "flight-of-the-amazon-queen",
    "pocketsphinx-testdata",
)
PAUSE_S = 0.4  # between two sounds of one recording
NOISE_RMS = 0.05  # -26 dBFS
_ARCHIVE_HEADER_BYTES = 13
_ARCHIVE_ENTRY_BYTES = 21


class WrongSound(ValueError):
    """A sound is not in the packages, is not the expected one or cannot be read. The message says which and why."""


def fetch_packages(cache: Path | None = None) -> Path:
    """Return the folder in the cache with the files of all packages. Packages that are not in it yet are downloaded and
    unpacked, one after the other.

    cache: the cache folder; by default the usual one. Raises CalledProcessError if apt-get or dpkg-deb fails.
    """
    folder = (cache or cache_root()) / "people"
    done = folder / "unpacked"
    done.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if (done / package).exists():
            continue
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            subprocess.run(["apt-get", "download", "--quiet", package], cwd=scratch, check=True)
            for archive in Path(scratch).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / "files")], check=True)
        (done / package).touch()
    return folder / "files"


def read_sounds(folder: Path, names: Sequence[str], sha256: str | None = None) -> NDArray[np.float32]:
    """Return the sounds, joined with pauses of `PAUSE_S`, as float32 mono samples at 16 kHz, shape (samples,).

    Args:
        folder: The folder with the packages' files.
        names: A path in the folder each; or a path to an archive of "Flight of the Amazon Queen", "#" and a pattern,
            which stands for all members that match it, in the order of their names.
        sha256: The digest of the bytes of all sounds in this order, as hex. None checks nothing.

    Raises:
        WrongSound: A sound is missing or unreadable, or the digest is another one.
    """
    digest = hashlib.sha256()
    pause = np.zeros(round(PAUSE_S * SAMPLING_RATE), np.float32)
    parts: list[NDArray[np.float32]] = []
    for name in names:
        for data in _sound_files(folder, name):
            digest.update(data)
            try:
                samples = decode_bytes(data).samples[:]
            except ServiceError as error:
                raise WrongSound(f"{name} cannot be read: {error}") from error
            parts += [pause, samples] if parts else [samples]
    if sha256 and digest.hexdigest() != sha256:
        raise WrongSound(
            f"{', '.join(names)}: the SHA-256 of these sounds should be {sha256}, but is {digest.hexdigest()}. This "
            "release of the packages holds other recordings than the transcripts belong to."
        )
    return np.concatenate(parts)


def generate_noise(seconds: float, exponent: float, seed: int) -> NDArray[np.float32]:
    """Return noise as float32 mono samples at 16 kHz, shape (samples,), with an RMS of `NOISE_RMS`.

    exponent: The power falls with the frequency to this exponent: 0 is white, 1 pink and 2 brown noise, above 20 Hz.
    """
    count = round(seconds * SAMPLING_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLING_RATE)
    spectrum *= np.where(frequencies < 20, 0, np.maximum(frequencies, 20) ** (-exponent / 2))
    noise = np.fft.irfft(spectrum, count)
    return (noise * NOISE_RMS / np.sqrt(np.mean(noise**2))).astype(np.float32)


def _sound_files(folder: Path, name: str) -> Iterator[bytes]:
    path, _, pattern = name.partition("#")
    if not (folder / path).is_file():
        raise WrongSound(f"{folder / path} is not in the packages {', '.join(PACKAGES)}")
    data = (folder / path).read_bytes()
    if not pattern:
        yield data
        return
    members = _archive_members(data, pattern)
    if not members:
        raise WrongSound(f"{folder / path} has no sound {pattern}")
    for start, size in members:
        yield data[start : start + size]


def _archive_members(data: bytes, pattern: str) -> list[tuple[int, int]]:
    """Return the start and size of the members that match, in the order of their names.

    The format is that of ScummVM's engine "queen": "QTBL", a version, the number of members, and for each of them a
    name of 12 bytes, a byte of flags, its start and its size (big-endian, 4 bytes each). Raises WrongSound.
    """
    if data[:4] != b"QTBL":
        raise WrongSound(f"an archive begins with {data[:4]!r} and not with b'QTBL'")
    count = int.from_bytes(data[_ARCHIVE_HEADER_BYTES : _ARCHIVE_HEADER_BYTES + 2])
    found: dict[str, tuple[int, int]] = {}
    for number in range(count):
        at = _ARCHIVE_HEADER_BYTES + 2 + number * _ARCHIVE_ENTRY_BYTES
        name = data[at : at + 12].rstrip(b"\0").decode("latin-1")
        if fnmatchcase(name, pattern):
            found[name] = int.from_bytes(data[at + 13 : at + 17]), int.from_bytes(data[at + 17 : at + 21])
    return [found[name] for name in sorted(found)]
