"""Write a random sample of the records in files, whose names are read from the standard input.

    find … -name records.jsonl | python -m tools.offline_gpu.sample_records NUMBER OUT.jsonl

The same files always give the same sample. Knows nothing about what the records are for.
"""

import random
import sys
from pathlib import Path

from training.data.record_files import read_records, write_records


def main(argv: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    number, out = sys.argv[1:] if argv is None else argv
    records = read_records(*(Path(line) for line in sys.stdin.read().split("\n") if line))
    write_records(Path(out), random.Random(0).sample(records, min(int(number), len(records))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
