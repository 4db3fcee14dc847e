"""Whisper for the cascade: samples in, plain text out, through faster-whisper (CTranslate2, int8 on CPU).

Runs in one worker thread, one recording at a time, so that it does not fight the language model for the cores; a
recording whose caller has left is dropped before its next window. Knows nothing about prompts or vLLM.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Transcriber:
    """One Whisper model in CTranslate2's format."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._folder = folder
        self._threads = threads
        self._model: Any = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="whisper")

    async def start(self) -> None:
        """Load the model."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._load)

    def _load(self) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(str(self._folder), device="cpu", compute_type="int8", cpu_threads=self._threads)

    async def stop(self) -> None:
        """Free the model. Harmless twice."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._model = None

    async def transcribe(self, samples: NDArray[np.float32]) -> str:
        """What is said in float32 mono samples at 16 kHz, as running text. Cancelling stops the work at the next
        window.
        """
        left = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._transcribe, samples, left)
        finally:
            left.set()

    def _transcribe(self, samples: NDArray[np.float32], left: threading.Event) -> str:
        if left.is_set():
            return ""
        # Greedy without fallback temperatures, so that the same recording always gives the same text; without
        # the text of the window
        # before as context, because that is how tiny models come to repeat themselves.
        segments, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=False,
        )
        texts: list[str] = []
        for segment in segments:
            if left.is_set():
                return ""
            texts.append(segment.text.strip())
        return " ".join(texts)
