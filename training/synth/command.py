"""Spoken material whose facts are known by construction, and its speech.

    speechsum-train data generate --out var/data/speech --n 3000 --split train --jobs 2

Writes OUT/texts.jsonl (`training.synth.text`) and, spoken and disturbed, OUT/records.jsonl with its audio
(`training.synth.speech`). Started again with the same options, it speaks what is missing.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from random import Random

from training.synth.speech.speak_records import SpeechSettings, speak_records
from training.synth.speech.voices import engine_shares
from training.synth.text import generate, mishear_record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--n", type=int, default=3000, help="recordings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=("train", "dev", "test"), default="train", help="whose names and voices")
    parser.add_argument("--min-words", type=int, default=20, help="shortest text")
    parser.add_argument("--max-words", type=int, default=1500, help="longest text")
    parser.add_argument(
        "--max-answer", type=int, default=0, help="only requests that allow an answer so many tokens; 0 is all"
    )
    parser.add_argument("--register", action="append", default=[], help="only this register; once for each")
    parser.add_argument(
        "--open-vocabulary",
        type=float,
        default=0.0,
        help="share of recordings about made-up things, with rare names: words that no list of a few hundred holds",
    )
    parser.add_argument("--asr-noise", type=float, default=0.0, help="share of words misheard, in every other text")
    parser.add_argument("--texts-only", action="store_true", help="no speech")
    parser.add_argument(
        "--engines", type=engine_shares, default=engine_shares("flite:0.5,espeak:0.5"), help="engine:share,…"
    )
    parser.add_argument("--augment", type=float, default=1.0, help="0 is clean, 1 disturbs about four clips in five")
    parser.add_argument("--format", choices=("opus", "flac"), default="opus")
    parser.add_argument("--jobs", type=int, default=1, help="processes that speak")


def run(options: argparse.Namespace) -> int:
    """Write texts and speech; 1 if more than a hundredth could not be spoken."""
    options.out.mkdir(parents=True, exist_ok=True)
    texts = options.out / "texts.jsonl"
    bounds = {name: getattr(options, name) for name in ("min_words", "max_words", "max_answer", "open_vocabulary")}
    records = generate(options.seed, options.n, options.split, registers=tuple(options.register), **bounds)
    misheard = Random(options.seed)
    with texts.with_suffix(".part").open("w") as file:
        for number, record in enumerate(records):
            if options.asr_noise and number % 2:
                record = mishear_record(record, misheard, options.asr_noise)
            file.write(record.to_json() + "\n")
    texts.with_suffix(".part").replace(texts)
    if options.texts_only:
        print(texts)
        return 0
    settings = SpeechSettings(options.engines, options.seed, options.augment, options.format)
    outcome = speak_records(texts, options.out, settings, jobs=options.jobs)
    print(json.dumps(asdict(outcome)))
    return int(outcome.failed > 0.01 * options.n)
