"""A share of spoken records, drawn evenly out of files whose names come on the standard input.

    find … -name records.jsonl | python -m tools.offline_gpu.sample_records NUMBER OUT.jsonl

The same files give the same records. Knows nothing about what they are for.
"""

import random
import sys
from pathlib import Path

from training.data.record_files import read_records, write_records


def main(argv: list[str] | None = None) -> int:
    number, out = sys.argv[1:] if argv is None else argv
    records = read_records(*(Path(line) for line in sys.stdin.read().split("\n") if line))
    write_records(Path(out), random.Random(0).sample(records, min(int(number), len(records))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
