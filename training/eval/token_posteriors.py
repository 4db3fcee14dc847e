"""What Whisper's decoder finds at each token of a recording: the most probable tokens and their probabilities.

Knows nothing about language models.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FRAMES_PER_WINDOW = 3000  # of 10 ms
_FRAMES_PER_TIMESTAMP = 2
_MIN_FRAMES = 20  # a rest of the recording that is shorter holds no word
_MAX_TOKENS = 448


@dataclass(frozen=True)
class TokenPosterior:
    """One token of a transcript.

    Attributes:
        token: Whisper's id of the token that was written.
        candidates: Ids of the most probable tokens, the most probable first, shape (k,).
        probabilities: Their probabilities, which add up to 1 at most, shape (k,).
    """

    token: int
    candidates: NDArray[np.int32]
    probabilities: NDArray[np.float32]


class PosteriorReader:
    """Whisper in CTranslate2's format, which decodes greedily and keeps the posteriors of the text's tokens.

    Args:
        folder: The model's folder.
        count: Number of candidates to keep for each token.
    """

    def __init__(self, folder: Path, count: int = 8) -> None:
        from faster_whisper import WhisperModel

        self._model: Any = WhisperModel(str(folder), device="cpu", compute_type="int8")
        self._count = count

    @property
    def tokenizer(self) -> Any:
        """Whisper's tokenizer, of the package `tokenizers`."""
        return self._model.hf_tokenizer

    def read(self, samples: NDArray[np.float32], language: str) -> list[TokenPosterior]:
        """Return the tokens of the text, without those that stand for times.

        samples: float32 mono at 16 kHz, shape (n,). language: a code that Whisper knows, such as "en".
        """
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        tokens = Tokenizer(self.tokenizer, model.model.is_multilingual, task="transcribe", language=language)
        features = model.feature_extractor(samples)
        length = features.shape[-1] - 1
        start, found = 0, []
        while length - start > _MIN_FRAMES:
            size = min(_FRAMES_PER_WINDOW, length - start)
            window = np.pad(features[:, start : start + size], ((0, 0), (0, _FRAMES_PER_WINDOW - size)))
            written = model.model.generate(
                model.encode(window),
                [model.get_prompt(tokens, [], without_timestamps=False)],
                beam_size=1,
                max_length=_MAX_TOKENS,
                return_logits_vocab=True,
                suppress_blank=True,
            )[0]
            last_time = 0
            for token, logits in zip(written.sequences_ids[0], written.logits[0], strict=False):
                if token >= tokens.timestamp_begin:
                    last_time = (token - tokens.timestamp_begin) * _FRAMES_PER_TIMESTAMP
                elif token < tokens.eot:
                    found.append(self._posterior(token, np.array(logits, np.float32).reshape(-1)[: tokens.eot]))
            # The next window starts where the last whole sentence of this one ends.
            is_whole = size == _FRAMES_PER_WINDOW and last_time > 0
            start += last_time if is_whole else size
        return found

    def _posterior(self, token: int, logits: NDArray[np.float32]) -> TokenPosterior:
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        best = np.argsort(-probabilities)[: self._count]
        return TokenPosterior(token, best.astype(np.int32), probabilities[best].astype(np.float32))
