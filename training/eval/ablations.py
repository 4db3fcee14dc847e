"""Takes the right audio away from a model that hears, to see whether it listens: its score has to fall.

Silence of the same length, or another recording. The records stay what they are but for their audio, so that the same
questions are asked and the answers are counted against the same facts. Knows nothing about models.
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
    """The records with silence, exact zeros, for audio, each as long as its own; the files are gone afterwards.

    Raises `BadExample` for a record whose own audio cannot be read: nothing would say how long the silence is.
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
    """The records with another recording's audio. Raises `BadExample` if there is but one."""
    yield shuffle_audio(records)


ABLATIONS = {"silent": silent_records, "shuffled": shuffled_records}
