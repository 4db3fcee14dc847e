"""Generate texts with known facts, and their speech.

    speechsum-train data generate --out var/data/speech --n 3000 --split train --jobs 2

Writes OUT/texts.jsonl (`training.synth.text`), then speaks and augments the texts, and writes OUT/records.jsonl with
the audio (`training.synth.speech`). A run that is started again with the same options speaks only what is missing.
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
    """Add the options of `data generate`."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--n", type=int, default=3000, help="number of recordings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--split", choices=("train", "dev", "test"), default="train", help="split, which has its own names and voices"
    )
    parser.add_argument("--min-words", type=int, default=20, help="words of the shortest text")
    parser.add_argument("--max-words", type=int, default=1500, help="words of the longest text")
    parser.add_argument(
        "--max-answer", type=int, default=0, help="only requests whose answers may have so many tokens; 0 is all"
    )
    parser.add_argument("--register", action="append", default=[], help="only this register (repeat for several)")
    parser.add_argument(
        "--open-vocabulary",
        type=float,
        default=0.0,
        help="share of recordings about made-up things and people with rare names, drawn from thousands of words",
    )
    parser.add_argument("--asr-noise", type=float, default=0.0, help="share of misheard words, in every second text")
    parser.add_argument("--texts-only", action="store_true", help="write the texts without speech")
    parser.add_argument(
        "--engines",
        type=engine_shares,
        default=engine_shares("flite:0.5,espeak:0.5"),
        help="speech engines and their shares, as engine:share,…",
    )
    parser.add_argument("--augment", type=float, default=1.0, help="0 is clean speech, 1 augments four of five clips")
    parser.add_argument("--format", choices=("opus", "flac"), default="opus")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes that speak")


def run(options: argparse.Namespace) -> int:
    """Run `data generate`: write texts and speech. Return 1 if more than 1 % of the texts could not be spoken."""
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
