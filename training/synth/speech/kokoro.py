"""The engine Kokoro-82M (int8 ONNX) in this process, with one inference thread. It is the most natural engine, and the
slowest.

Its weights and voices are the verified parts `kokoro-82m-int8` and `kokoro-voices`. Knows nothing about splits.
"""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from kokoro_onnx import Kokoro
from numpy.typing import NDArray

from model_repo.parts import fetch_part


@lru_cache(maxsize=1)
def _engine(model: Path, voices: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    styles = {file.stem: np.fromfile(file, dtype=np.float32).reshape(-1, 1, 256) for file in voices.glob("*.bin")}
    with tempfile.NamedTemporaryFile(suffix=".npz") as pack:  # the library reads its voices from one archive
        np.savez(pack, **styles)  # type: ignore[arg-type]
        pack.flush()
        return Kokoro.from_session(session, pack.name)


def kokoro_samples(text: str, name: str, speed: float = 1.0) -> tuple[NDArray[np.float32], int]:
    """Speak one text with the voice `name`. Return the samples, float32 mono, and their rate, 24 000 Hz.

    speed: a factor from 0.5 to 2. Voices whose names begin with `b` read British English, the others American.
    """
    engine = _engine(fetch_once("kokoro-82m-int8") / "kokoro-int8.onnx", fetch_once("kokoro-voices"))
    samples, rate = engine.create(text, name, speed=speed, lang="en-gb" if name.startswith("b") else "en-us")
    return np.asarray(samples, dtype=np.float32), int(rate)


@lru_cache
def fetch_once(part: str) -> Path:
    """Return the folder of the part. Its digests are verified once in a process instead of for every sentence."""
    return fetch_part(part)
