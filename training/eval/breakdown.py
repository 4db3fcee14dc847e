"""Figures by kind of voice and by length of recording, and the set that they are of.

What a model is worth is what it makes of voices that people have: a person's own, and those of a synthesizer that
sounds like one. Robotic voices, which recognizers read badly, are counted apart. Knows nothing about models.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from training.data.record import Record
from training.eval.scores import aggregate

VoiceKind = Literal["person", "natural", "robotic"]
NATURAL: tuple[VoiceKind, ...] = ("person", "natural")
NATURAL_ENGINES = ("kokoro",)  # synthesizers that sound like people; all others are robotic
LENGTH_BOUNDS = (15.0, 30.0, 60.0, 120.0)  # upper bounds of the buckets, in seconds


def voice_kind(record: Record) -> VoiceKind:
    """Whose voice speaks the record: a person's where no synthetic voice is named. Of several voices in one recording
    the worst counts.
    """
    voices = [voice.strip() for voice in (record.voice or "").split(",") if voice.strip()]
    if not voices:
        return "person"
    return "natural" if all(voice.split(":")[0] in NATURAL_ENGINES for voice in voices) else "robotic"


def length_bucket(seconds: float | None) -> str:
    """The name of the bucket: "0-15 s", "15-30 s", …, "over 120 s"; "unknown" where no length is given."""
    if seconds is None:
        return "unknown"
    low = 0.0
    for high in LENGTH_BOUNDS:
        if seconds < high:
            return f"{low:g}-{high:g} s"
        low = high
    return f"over {low:g} s"


def breakdown(records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """`voices` and `lengths`: of each kind and bucket that is there, its figures. Lengths are of natural voices alone,
    and of all voices where there is no natural one. rows: of `training.eval.scores.score_rows`, in the order of the
    records.
    """
    pairs = list(zip(records, rows, strict=True))
    natural = [pair for pair in pairs if voice_kind(pair[0]) in NATURAL] or pairs
    return {
        "voices": _figures([(voice_kind(record), row) for record, row in pairs]),
        "lengths": _figures([(length_bucket(record.duration_s), row) for record, row in natural]),
    }


def natural_rows(records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows about natural voices."""
    return [row for record, row in zip(records, rows, strict=True) if voice_kind(record) in NATURAL]


def evaluation_set_name(records: Sequence[Record]) -> str:
    """How many recordings, and a digest over what is said, asked and counted in them, in any order. Figures of two sets
    are never compared. The sound is not part of it: a synthesizer gives other bits on another machine.
    """
    lines = sorted(
        json.dumps([r.query, r.transcript, r.voice, [asdict(fact) for fact in r.facts]], sort_keys=True)
        for r in records
    )
    return f"{len(records)} recordings, {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"


def _figures(named: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    names = sorted({name for name, _ in named}, key=lambda name: (len(name), name))
    return {name: aggregate([row for other, row in named if other == name]) for name in names}
