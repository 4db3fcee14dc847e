"""Texts of recordings whose facts are known by construction, from templates and a seed, without a model.

from training.synth.text import generate

for record in generate(seed=1, n=1000, split="train"):
    ...
"""

from training.data.record import Record, Split
from training.synth.text.asr_noise import add_asr_noise, mishear_record
from training.synth.text.generate import generate, make_record

__all__ = ["Record", "Split", "add_asr_noise", "generate", "make_record", "mishear_record"]
