"""The small checkpoints, written once."""

from pathlib import Path

import pytest

from tests.training import tiny


@pytest.fixture(scope="session")
def audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `audioflamingo3` checkpoint."""
    return tiny.write_audio(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `llama` checkpoint."""
    return tiny.write_llama(tmp_path_factory.mktemp("llama"))
