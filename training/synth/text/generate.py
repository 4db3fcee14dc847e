"""Records from a seed: the same seed and index always give the same record. Knows nothing about audio."""

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
    """Return the record of this seed, index and split.

    Args:
        seed: Seed of the data set.
        index: Number of the record in it.
        split: The split, which has its own names, words and domains.
        min_words: The least number of words of the transcript.
        max_words: The largest number of words of the transcript.
        max_answer: The most tokens that the record's style may allow an answer; 0 is no limit.
        registers: Names of the registers to choose from; none means all.
        open_vocabulary: Probability that the record is about things and people of
            `training.synth.text.open_vocabulary`.

    Raises:
        ValueError: No register has texts between `min_words` and `max_words`, or a register is unknown.
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
    """Yield `n` records. The i-th depends on `seed`, `split`, i and the bounds only, which are options of
    `make_record`. Raises the errors of `make_record`.
    """
    for index in range(n):
        yield make_record(seed, index, split, **bounds)
