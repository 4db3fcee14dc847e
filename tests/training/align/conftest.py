"""A checkpoint whose tokenizer has all its tokens: what is aligned are words, and they have to be whole tokens."""

from pathlib import Path

import pytest

from model_repo.architectures import VOCAB_SIZE
from tests.training import tiny_checkpoints


@pytest.fixture(scope="session")
def audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `audioflamingo3` checkpoint."""
    return tiny_checkpoints.write_audio(tmp_path_factory.mktemp("audio"), vocab_size=VOCAB_SIZE)
