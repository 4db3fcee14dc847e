"""The small checkpoints, written once, and what most of the recipes' tests need of them."""

from pathlib import Path

import pytest
from transformers import AutoProcessor

from model_repo.architectures import AUDIO_TOKEN_ID
from tests.training import tiny_checkpoints
from training.models.collate import AudioCollator


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


@pytest.fixture(autouse=True)
def _no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
