"""Print generated records.

python -m training.synth.text --n 5 --seed 1 --split train [--register voicemail] [--json]
"""

import argparse
import textwrap
from random import Random

from training.synth.text import generate, mishear_record


def main() -> None:
    """Print the records that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m training.synth.text", description=__doc__)
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=["train", "dev", "test"], default="train")
    parser.add_argument("--min-words", type=int, default=20)
    parser.add_argument("--max-words", type=int, default=1500)
    parser.add_argument("--register", action="append", default=[], help="only this register (repeat for several)")
    parser.add_argument(
        "--open-vocabulary",
        type=float,
        default=0.0,
        help="share of records about made-up things and people with rare names",
    )
    parser.add_argument(
        "--asr-noise",
        type=float,
        default=0.0,
        help="share of words that are misheard as a speech recognizer does, in every second record",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON for each record, as in the data files"
    )
    args = parser.parse_args()
    misheard = Random(args.seed)
    for number, record in enumerate(
        generate(
            args.seed,
            args.n,
            args.split,
            min_words=args.min_words,
            max_words=args.max_words,
            registers=tuple(args.register),
            open_vocabulary=args.open_vocabulary,
        )
    ):
        if args.asr_noise and number % 2:
            record = mishear_record(record, misheard, args.asr_noise)
        if args.json:
            print(record.to_json())
            continue
        print(
            f"── {record.id} · {record.register} · {record.words} words · {max(s for s, _ in record.turns) + 1} speaker(s)"  # noqa: E501
        )
        print(textwrap.fill(record.transcript, 140))
        print(f"   ? {record.query}")
        print(textwrap.indent(record.summary, "   = "))
        print("   facts: " + "; ".join(f"{f.kind}{'!' if f.core else ''}: {f.text}" for f in record.facts) + "\n")


if __name__ == "__main__":
    main()
