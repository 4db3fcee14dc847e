from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.eval.token_posteriors import PosteriorReader

EOT, TIMES = 6, 10  # tokens below EOT are text, those from TIMES on are times


class FakeWhisper:
    """A recognizer whose windows are given as tokens; each is the most probable of its step, with 0.5 in all."""

    def __init__(self, *windows: list[int]) -> None:
        self.windows, self.starts = list(windows), list[float]()
        self.hf_tokenizer = None
        self.model = SimpleNamespace(is_multilingual=True, generate=self.generate)

    def feature_extractor(self, samples: Any) -> Any:
        frames = len(samples) // 160
        return np.arange(frames + 1, dtype=np.float32)[None].repeat(2, 0)  # a frame holds its own number

    def get_prompt(self, *_: Any, **__: Any) -> list[int]:
        return []

    def encode(self, window: Any) -> Any:
        assert window.shape == (2, 3000)
        self.starts.append(window[0, 0] / 100)
        return window

    def generate(self, *_: Any, **__: Any) -> Any:
        tokens = self.windows.pop(0)
        logits = np.zeros((len(tokens), TIMES + 1500), np.float32)
        logits[np.arange(len(tokens)), tokens] = np.log(EOT - 1)
        return [SimpleNamespace(sequences_ids=[tokens], logits=[list(logits)])]


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = SimpleNamespace(eot=EOT, timestamp_begin=TIMES)
    monkeypatch.setattr("faster_whisper.tokenizer.Tokenizer", lambda *_, **__: tokens)


def read(whisper: FakeWhisper, seconds: float) -> Any:
    reader = object.__new__(PosteriorReader)  # its own start loads a model
    reader._model, reader._count = whisper, 3
    return reader.read(np.zeros(round(16_000 * seconds), np.float32), "en")


def test_tokens_of_the_text_have_their_candidates_and_times_have_none() -> None:
    found = read(FakeWhisper([TIMES, 1, 4, TIMES + 50]), 2)
    assert [one.token for one in found] == [one.candidates[0] for one in found] == [1, 4]
    assert found[0].probabilities[0] == pytest.approx(0.5)
    assert found[0].probabilities.sum() == pytest.approx(0.7), "three of six"


def test_the_next_window_starts_where_the_last_sentence_ends() -> None:
    whisper = FakeWhisper([TIMES, 1, TIMES + 1250], [TIMES, 2, TIMES + 100], [3])
    assert [one.token for one in read(whisper, 40)] == [1, 2]
    assert whisper.starts == [0, 25]


def test_a_window_without_a_time_is_read_whole_and_a_rest_too_short_for_a_word_is_not() -> None:
    whisper = FakeWhisper([1, 2])
    assert [one.token for one in read(whisper, 30.1)] == [1, 2]
    assert whisper.windows == []
