"""Records with the wrong audio, to check that a model listens: with silence, or another recording, its scores have to
fall.

Only the audio of the records changes, so that the same questions are asked, and the answers are scored by the same
facts. Knows nothing about models.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from app.core.audio.wav import encode_wav
from training.data.audio import read_audio
from training.data.record import Record
from training.models.collate import shuffle_audio


@contextmanager
def silent_records(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield the records with silence (zeros) of the same length as audio. Its files are deleted afterwards.

    Raises UnusableRecord for a record whose own audio cannot be read, because the length of the silence is unknown.
    """
    with TemporaryDirectory() as folder:
        yield [replace(r, audio=str(_silence_file(r, Path(folder))), start=None, end=None) for r in records]


def _silence_file(record: Record, folder: Path) -> Path:
    length = len(read_audio(record))
    file = folder / f"{length}.wav"
    if not file.exists():
        file.write_bytes(encode_wav(np.zeros(length, np.int16)))
    return file


@contextmanager
def shuffled_records(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield the records, each with the audio of another recording. Raises UnusableRecord if all have the same audio."""
    yield shuffle_audio(records)


ABLATIONS = {"silent": silent_records, "shuffled": shuffled_records}
