"""Spoken material whose facts are known by construction: text only, seeded, no model.

from training.corpus import generate for record in generate(seed=1, n=1000, split="train"): ...
"""

from training.corpus.generate import generate, make
from training.corpus.noise import asr_noise, noisy
from training.corpus.record import Record, Split

__all__ = ["Record", "Split", "asr_noise", "generate", "make", "noisy"]
