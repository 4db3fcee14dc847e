"""faster-whisper's model, in which each window is encoded once.

faster-whisper 1.2 encodes the first window of a recording to detect the language, and again to decode it. The encoder
reads 30 s however short the recording is, so that most of the time for a short one goes into it. Here the language is
detected on exactly the frames that are decoded, and the encoder's output is kept until the recording is done. A second
decoding of the same recording, for a vocabulary, uses it too. Knows nothing about what is transcribed.
"""

from collections import deque
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

KEPT_WINDOWS = 3  # as many as the language is detected in; each takes about 10 MB


class EncodeOnceModel(WhisperModel):  # type: ignore[misc]  # faster-whisper has no types
    """A `WhisperModel` that keeps the encoder's output of the last windows. For one thread at a time."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._encoded: deque[tuple[NDArray[np.float32], Any]] = deque(maxlen=KEPT_WINDOWS)

    def encode(self, features: NDArray[np.float32]) -> Any:
        """Return the encoder's output for the log-mel frames of one window, shape (mels, 3000)."""
        for known, output in self._encoded:
            if np.array_equal(known, features):
                return output
        output = super().encode(features)
        self._encoded.append((features, output))
        return output

    def detect_language(
        self, audio: Any = None, features: NDArray[np.float32] | None = None, **options: Any
    ) -> tuple[str, float, list[tuple[str, float]]]:
        """Return language, probability and all probabilities, as faster-whisper does.

        features: log-mel frames, shape (mels, frames). The last is left out, because decoding leaves it out.
        """
        found: tuple[str, float, list[tuple[str, float]]] = super().detect_language(
            audio, None if features is None else features[..., :-1], **options
        )
        return found

    def forget(self) -> None:
        """Free what is kept of a recording."""
        self._encoded.clear()
