"""Measures what a vocabulary changes in transcripts: names that occur, and recordings in which none of them occurs.

    python -m tests.checks.vocabulary --records var/data/people/records.jsonl --out results/vocabulary.json

The records are those of docs/results.md, of people. Sentences with rare names are spoken by Kokoro and espeak-ng. Every
recording is decoded by Whisper base without and with the vocabulary, as in the service, and three texts are compared:
`plain` (without), `prompted` (all of what Whisper writes with the vocabulary as its prompt) and `corrected` (what the
service makes of both). A name counts as heard if it is spelled as in the vocabulary.
"""

import argparse
import asyncio
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from app.core.asr import whisper
from app.core.asr.transcript import TranscriptSegment
from app.core.asr.vocabulary import correct_terms
from app.core.asr.whisper import WhisperTranscriber
from app.core.text.normalize import normalize
from model_repo.parts import fetch_part
from tests.checks.recognizer import speak_with_espeak
from training.data.audio import read_audio
from training.data.record import Record
from training.data.record_files import read_records
from training.synth.speech.kokoro import kokoro_samples

PART = "whisper-base-ct2"
RATE = 16_000
# Names of the recordings of people, and names of nobody in them.
PEOPLE_TERMS = (
    "Doctor Ironstein", "Azura", "Faye Russel", "Sparky", "Digium", "Asterisk", "Inter-Asterisk", "IAX", "Dashwood",
    "Sackville", "Bay of Fundy", "Tyranno Horn", "Comedian Mail", "Anderson", "Super Awesome Company", "Waldo",
)  # fmt: skip
SENTENCES = (
    "Aoife Gallagher sends the report to Siobhan on Friday.",
    "We move the database to Kubernetes and Terraform next week.",
    "Please ask Xanthippe Papadopoulos about the invoice before noon.",
    "The patient takes apixaban and levetiracetam twice a day.",
    "Wojciech Szymanski approved the budget for the office in Gdansk.",
    "Niamh says that Grafana shows the errors since Monday.",
    "The meeting with Tadhg Ferreira is in the room Popocatepetl.",
    "Call Saoirse back, she wants to order eleven boxes of Zubrowka.",
)
TERMS = (
    "Aoife Gallagher", "Siobhan", "Kubernetes", "Terraform", "Xanthippe Papadopoulos", "apixaban", "levetiracetam",
    "Wojciech Szymanski", "Gdansk", "Niamh", "Grafana", "Tadhg Ferreira", "Popocatepetl", "Saoirse", "Zubrowka",
)  # fmt: skip
VOICES = ("kokoro:af_sky", "espeak:en-us")
WITH_NAMES = (
    "librivox-0870", "prompts-company", "prompts-connection", "prompts-started", "queen-bunker", "queen-zeppelin",
)  # fmt: skip
WITH_SILENCE = ("librivox-0880", "prompts-clock", "librivox-0930")
LONGEST_OTHER_S = 22.0  # of the recordings without names, so that it takes minutes


class Recording(NamedTuple):
    """A recording. load: returns its samples. said: what is said in it; None if nobody speaks."""

    kind: str
    id: str
    load: Callable[[], NDArray[np.float32]]
    said: str | None
    terms: tuple[str, ...]


def recordings(records: Sequence[Record]) -> Iterator[Recording]:
    """Yield the recordings, each with its vocabulary. The groups take turns, so that a part of a run tells of each."""
    named, others = [], []
    for record in {Path(one.audio or one.id).stem: one for one in reversed(records)}.values():
        if Path(record.audio or record.id).stem in WITH_NAMES:
            named.append(record)
        elif (record.duration_s or 0.0) <= LONGEST_OTHER_S:
            others.append(record)
    other_recordings = _other_recordings(others)
    groups = [*map(_spoken_sentences, VOICES), map(_named_recording, named), *[other_recordings] * 3]
    for turn in zip_longest(*groups):
        yield from (one for one in turn if one is not None)


def _spoken_sentences(voice: str) -> Iterator[Recording]:
    engine, name = voice.split(":")
    for number, text in enumerate(SENTENCES):
        speak = _speak_with_kokoro if engine == "kokoro" else speak_with_espeak
        yield Recording(f"names, {engine}", f"{voice} {number}", partial(speak, text, name), text, TERMS)


def _named_recording(record: Record) -> Recording:
    return Recording("names, people", record.id, partial(read_audio, record), record.transcript, PEOPLE_TERMS)


def _other_recordings(records: Sequence[Record]) -> Iterator[Recording]:
    for record in records:
        said = record.transcript or None
        yield Recording("no names, people" if said else "noise", record.id, partial(read_audio, record), said, TERMS)
        if record.id in WITH_SILENCE:
            yield Recording("no names, before silence", record.id, partial(_add_silence, record), said, TERMS)
    yield Recording("silence", "silence", lambda: np.zeros(10 * RATE, np.float32), None, TERMS)


def _add_silence(record: Record) -> NDArray[np.float32]:
    """Return the record's samples with 20 s behind them in which nobody speaks."""
    faint = 0.0003 * np.random.default_rng(1).normal(size=20 * RATE).astype(np.float32)
    return np.concatenate([read_audio(record), faint])


def _speak_with_kokoro(text: str, name: str) -> NDArray[np.float32]:
    samples, rate = kokoro_samples(text, name)
    places = np.arange(int(len(samples) * RATE / rate)) * rate / RATE
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def count_terms(text: str, terms: Sequence[str]) -> int:
    """Return how often terms occur in a text, in any case."""
    words = f" {' '.join(normalize(text))} "
    return sum(words.count(f" {' '.join(normalize(term))} ") for term in terms)


async def measure(
    records: Sequence[Record], rows: list[dict[str, Any]], write: Callable[[list[dict[str, Any]]], None]
) -> None:
    """Measure each recording that is not among the rows, and write all rows after each."""
    measured = {(row["kind"], row["id"]) for row in rows}
    transcriber = WhisperTranscriber(fetch_part(PART))
    await transcriber.start()
    for one in recordings(records):
        if (one.kind, one.id) in measured:
            continue
        texts: dict[str, str] = {"plain": "", "prompted": "", "corrected": ""}

        def observe(
            segments: Sequence[TranscriptSegment],
            prompted: str,
            terms: Sequence[str],
            texts: dict[str, str] = texts,
        ) -> tuple[TranscriptSegment, ...]:
            found = correct_terms(segments, prompted, terms)
            texts |= {
                "plain": " ".join(part.text for part in segments),
                "prompted": " ".join(prompted.split()),
                "corrected": " ".join(part.text for part in found),
            }
            return found

        with mock.patch.object(whisper, "correct_terms", observe):
            samples = one.load()
            await transcriber.transcribe(samples, one.terms)
        row: dict[str, Any] = {"kind": one.kind, "id": one.id, "seconds": round(len(samples) / RATE, 1)}
        row |= {"said": one.said, **texts}
        row["terms"] = {name: count_terms(text, one.terms) for name, text in texts.items()}
        if one.said is not None:
            words = normalize(one.said)
            row["terms"]["said"] = count_terms(one.said, one.terms)
            row["words"] = len(words)
            row["word_errors"] = {name: Levenshtein.distance(words, normalize(text)) for name, text in texts.items()}
        rows.append(row)
        write(rows)
        print(json.dumps({name: row[name] for name in ("kind", "id", "terms")}), flush=True)
    await transcriber.stop()


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the sums over the rows of each kind."""
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = [row for row in rows if row["kind"] == kind]
        known = [row for row in of_kind if "words" in row]
        found[kind] = {
            "recordings": len(of_kind),
            "changed": {name: sum(row[name] != row["plain"] for row in of_kind) for name in ("prompted", "corrected")},
            "terms": {
                name: sum(row["terms"].get(name, 0) for row in of_kind)
                for name in ("said", "plain", "prompted", "corrected")
            },
            "words": sum(row["words"] for row in known),
            "word_errors": {
                name: sum(row["word_errors"][name] for row in known) for name in ("plain", "prompted", "corrected")
            },
        }
    return found


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.checks.vocabulary", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    command = shlex.join(["python", "-m", "tests.checks.vocabulary", *sys.argv[1:]])

    def write(rows: list[dict[str, Any]]) -> None:
        report = {"command": command, "figures": figures(rows), "rows": rows}
        options.out.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")

    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []  # of a run that was interrupted
    asyncio.run(measure(read_records(options.records), rows, write))


if __name__ == "__main__":
    main()
