"""The small checkpoints, written once, and what most of the recipes' tests need of them."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoProcessor, AutoTokenizer, WhisperFeatureExtractor

from model_repo.architectures import AUDIO_TOKEN_ID
from tests.training import tiny_checkpoints
from tests.training.tiny_checkpoints import noise, record
from training.data.record import Record
from training.models.collate import AudioCollator

TEXTS = ("Please call Anna.", "The pump failed on Monday.")


@pytest.fixture(scope="session")
def audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `audioflamingo3` checkpoint."""
    return tiny_checkpoints.write_audio(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `llama` checkpoint."""
    return tiny_checkpoints.write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def hears(audio_folder: Path) -> AudioCollator:
    """Makes batches for the first."""
    return AudioCollator(AutoProcessor.from_pretrained(audio_folder), AUDIO_TOKEN_ID)


@pytest.fixture(scope="session", autouse=True)
def _no_garbage_collection_before_every_run() -> Iterator[None]:
    """accelerate collects garbage whenever a run begins, which takes as long as a few steps where so much is
    imported.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelerate.utils.memory.gc", SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(autouse=True)
def _no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(scope="session")
def tokenizer(audio_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(audio_folder)


@pytest.fixture(scope="session")
def extractor(audio_folder: Path) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor.from_pretrained(audio_folder)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Noise of 1.5 and 2.5 s: 75 and 125 encoder frames."""
    folder = tmp_path_factory.mktemp("clips")
    return [record(i, folder, noise(1.5 + i, seed=i), transcript=text) for i, text in enumerate(TEXTS)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, float], None]:
    """`clock(module, seconds)`: in the module, time passes by so much at each look at it, however busy the machine."""

    def install(module: Any, seconds: float) -> None:
        moments = itertools.count(0.0, seconds)
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(moments)))

    return install
