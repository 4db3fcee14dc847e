"""The warm-up of a model: one recording takes the whole path before the first request does.

What is loaded at first use is loaded now, and a broken part shows. Knows nothing about HTTP.
"""

import uuid

import numpy as np

from app.core.audio.samples import create_unnamed_file
from app.core.audio.wav import encode_wav
from app.core.errors import Unavailable
from app.core.prompts import Style, instruction
from app.engine.base import GenerationFinished, GenerationRequest
from app.summarize.pipeline import Summarizer
from app.workers.fair_scheduler import ANONYMOUS

MAX_TOKENS = 4


async def warm_up(summarizer: Summarizer) -> None:
    """Run faint noise through decoder, detector and engine, whether speech is found in it or not.

    Raises the ServiceError of the part that fails, and `Unavailable` if the engine gives up.
    """
    with create_unnamed_file(_noise_wav()) as recording:
        audio = await summarizer.decoder.decode(recording, summarizer.limits, ANONYMOUS)
    await summarizer.detect_speech(audio.samples, ANONYMOUS)
    generation = GenerationRequest(f"warm-up-{uuid.uuid4().hex}", audio.samples[:], instruction(Style()), MAX_TOKENS)
    events = [event async for event in summarizer.engine.generate(generation)]
    if not events or not isinstance(events[-1], GenerationFinished) or events[-1].finish_reason == "abort":
        raise Unavailable("The warm-up inference did not finish.", code="engine_failed")


def _noise_wav() -> bytes:
    """A second of faint noise as a 16 kHz WAV file."""
    return encode_wav(np.random.default_rng(0).normal(0, 100, 16_000).astype(np.int16))
