"""Works out what `speechsum-train align` would work out first, in several threads: the frozen layers' output of every
clip, kept in the folder that its `--features` then names.

    OMP_NUM_THREADS=1 python -m training.gpu.encode --base FOLDER --data …/records.jsonl --features FOLDER --threads 10

One thread makes the mel frames of some eighty clips a second at best, and a GPU waits for them; reading files and
Fourier transforms leave the interpreter to the other threads. Knows nothing about training.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from transformers import WhisperFeatureExtractor

from training.align.command import in_window
from training.align.encoder import SplitEncoder, encode
from training.checkpoint import open_model
from training.corpus.record import Record
from training.records import read_records


def encode_all(base: Path, records: list[Record], features: Path, layers: int, threads: int) -> int:
    """Encode the records, one model for all threads; returns how many."""
    model = open_model(base).to("cuda" if torch.cuda.is_available() else "cpu")
    encoder, extractor = SplitEncoder(model, layers), WhisperFeatureExtractor.from_pretrained(base)
    shares = [share for i in range(threads) if (share := records[i::threads])]
    with ThreadPoolExecutor(threads) as pool:
        return sum(len(clips) for clips in pool.map(lambda share: encode(encoder, share, extractor, features), shares))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gpu.encode", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="assembled audio checkpoint, as align will get it")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files of spoken records")
    parser.add_argument("--features", type=Path, required=True, help="folder for the files")
    parser.add_argument("--layers", type=int, default=2, help="how many of the encoder's last layers will learn")
    parser.add_argument("--threads", type=int, default=10)
    options = parser.parse_args(argv)
    records = in_window(read_records(*options.data))
    done = encode_all(options.base, records, options.features, options.layers, options.threads)
    print(f"{done} clips encoded", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
