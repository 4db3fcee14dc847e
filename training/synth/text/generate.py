"""Seed and index → record, the same one every time. Knows nothing about audio."""

from collections.abc import Iterator
from random import Random
from typing import Any

from app.core.prompts import instruction
from training.data.record import Record, Split
from training.synth.text.compose import Register, compose, target_words
from training.synth.text.registers import REGISTERS
from training.synth.text.summary_styles import write_summary


def make_record(
    seed: int,
    index: int,
    split: Split,
    *,
    min_words: int = 20,
    max_words: int = 1500,
    max_answer: int = 0,
    registers: tuple[str, ...] = (),
    open_vocabulary: float = 0.0,
) -> Record:
    """One record. max_answer: tokens that its style may allow an answer, 0 for any number. open_vocabulary: how likely
    it is about things and people of `training.synth.text.open_vocabulary`. Raises ValueError if no register can speak
    between `min_words` and `max_words`, or a name is unknown.
    """
    able = [
        r
        for r in REGISTERS
        if r.words[0] <= max_words and r.words[2] >= min_words and (not registers or r.name in registers)
    ]
    if not able:
        raise ValueError(f"no register of {list(registers) or 'all'} speaks between {min_words} and {max_words} words")
    for attempt in range(attempts := 1000 if max_answer else 50):
        rng = Random(f"{split}/{seed}/{index}/{attempt}")
        register: Register = rng.choices(able, [r.weight for r in able])[0]
        script = compose(register, rng, split, target_words(register, rng, min_words, max_words), open_vocabulary)
        transcript = " ".join(text for _, text in script.turns)
        words = len(transcript.split())
        if not script.points or not min_words <= words <= max_words:
            continue
        style, summary = write_summary(script, rng)
        if not summary or (max_answer and style.max_tokens > max_answer):
            continue
        return Record(
            id=f"{split}-{seed}-{index:06d}",
            register=register.name,
            split=split,
            transcript=transcript,
            style=style.model_dump(mode="json", exclude_none=True),
            query=instruction(style),
            summary=summary,
            facts=script.facts,
            turns=script.turns,
            words=words,
            names=script.names,
            source="speechsum generator",
            license="CC0-1.0",
        )
    raise ValueError(f"no record between {min_words} and {max_words} words came out in {attempts} attempts")


def generate(seed: int, n: int, split: Split, **bounds: Any) -> Iterator[Record]:
    """`n` records; the i-th depends on `seed`, `split` and i only (and the bounds, those of `make_record`)."""
    for index in range(n):
        yield make_record(seed, index, split, **bounds)
