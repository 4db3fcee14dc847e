"""Scores by kind of voice and by length of recording, and the name of the evaluation set.

The scores that count are those on natural voices: people's own, and those of a synthesizer that sounds like a person.
Robotic voices, which speech recognizers understand badly, are scored separately. Recordings in which nobody speaks have
no scores: what counts there is whether they are answered with a summary. Knows nothing about models.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from training.data.record import Record
from training.eval.scores import aggregate, bootstrap_interval

VoiceKind = Literal["person", "natural", "robotic", "none"]
NATURAL: tuple[VoiceKind, ...] = ("person", "natural")
NATURAL_ENGINES = ("kokoro",)  # synthesizers that sound like people; all others are robotic
LENGTH_BOUNDS = (15.0, 30.0, 60.0, 120.0)  # upper bounds of the buckets, in seconds


def voice_kind(record: Record) -> VoiceKind:
    """Return the kind of the record's voice: "none" if nobody speaks, and "person" if no synthetic voice is named. Of
    several voices in one recording the least natural one counts.
    """
    if record.no_speech:
        return "none"
    voices = [voice.strip() for voice in (record.voice or "").split(",") if voice.strip()]
    if not voices:
        return "person"
    return "natural" if all(voice.split(":")[0] in NATURAL_ENGINES for voice in voices) else "robotic"


def length_bucket(seconds: float | None) -> str:
    """Return the name of the bucket: "0-15 s", "15-30 s", …, "over 120 s", or "unknown" if the length is not known."""
    if seconds is None:
        return "unknown"
    low = 0.0
    for high in LENGTH_BOUNDS:
        if seconds < high:
            return f"{low:g}-{high:g} s"
        low = high
    return f"over {low:g} s"


def breakdown(records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the scores of each kind of voice (`voices`), of each language of natural voices if there are several
    (`languages`), and of each length bucket (`lengths`) that has records.

    Recordings without speech are left out. The lengths are scored on natural voices only, or on all voices if there is
    no natural one. rows: from `training.eval.scores.score_rows`, in the order of the records.
    """
    pairs = [pair for pair in zip(records, rows, strict=True) if not pair[0].no_speech]
    natural = [pair for pair in pairs if voice_kind(pair[0]) in NATURAL] or pairs
    languages = _figures([(record.language, row) for record, row in natural])
    return {
        "voices": _figures([(voice_kind(record), row) for record, row in pairs]),
        "lengths": _figures([(length_bucket(record.duration_s), row) for record, row in natural]),
    } | ({"languages": languages} if len(languages) > 1 else {})


def natural_rows(records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the records with natural voices."""
    return [row for record, row in zip(records, rows, strict=True) if voice_kind(record) in NATURAL]


def scored_rows(records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the records in which somebody speaks."""
    return [row for record, row in zip(records, rows, strict=True) if not record.no_speech]


def no_speech_figures(
    records: Sequence[Record], rows: Sequence[dict[str, Any]], declined: Sequence[bool]
) -> dict[str, Any]:
    """Return the number of `recordings` in which nobody speaks and the share of them that got no summary (`declined`),
    with its interval. It is empty if the records have none.

    declined: for each record, whether it got no summary.
    """
    silent = [(row, no) for record, row, no in zip(records, rows, declined, strict=True) if record.no_speech]
    if not silent:
        return {}
    quiet = [row for row, _ in silent]
    figures = bootstrap_interval("declined", quiet, [float(no) for _, no in silent], [1] * len(silent), 0)
    return {"recordings": len(silent)} | figures


def evaluation_set_name(records: Sequence[Record]) -> str:
    """Return the number of records and a digest of their queries, transcripts, voices and facts, in any order.

    Scores of sets with different names are not comparable. The audio is not part of the digest, because a synthesizer
    gives other bits on another machine.
    """
    lines = sorted(
        json.dumps([r.query, r.transcript, r.voice, [asdict(fact) for fact in r.facts]], sort_keys=True)
        for r in records
    )
    return f"{len(records)} recordings, {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"


def _figures(named: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    names = sorted({name for name, _ in named}, key=lambda name: (len(name), name))
    return {name: aggregate([row for other, row in named if other == name]) for name in names}
