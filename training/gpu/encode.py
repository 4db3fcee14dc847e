"""Works out what `speechsum-train align` would work out first, by several processes: the frozen layers' output of every
clip, kept in the folder that its `--features` then names.

    python -m training.gpu.encode --base FOLDER --data …/records.jsonl --features FOLDER --processes 8

One process makes the mel frames of some eighty clips a second at best; a GPU waits for them. Knows nothing about
training.
"""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from transformers import WhisperFeatureExtractor

from training.align.command import in_window
from training.align.encoder import SplitEncoder, encode
from training.checkpoint import open_model
from training.corpus.record import Record
from training.examples import read_records


def encode_share(base: Path, records: list[Record], features: Path, layers: int) -> int:
    """Encode the records in this process; returns how many."""
    torch.set_num_threads(1)
    model = open_model(base).to("cuda" if torch.cuda.is_available() else "cpu")
    return len(encode(SplitEncoder(model, layers), records, WhisperFeatureExtractor.from_pretrained(base), features))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gpu.encode", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="assembled audio checkpoint, as align will get it")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files of spoken records")
    parser.add_argument("--features", type=Path, required=True, help="folder for the files")
    parser.add_argument("--layers", type=int, default=2, help="how many of the encoder's last layers will learn")
    parser.add_argument("--processes", type=int, default=8)
    options = parser.parse_args(argv)
    records = in_window(read_records(*options.data))
    shares = [share for i in range(options.processes) if (share := records[i :: options.processes])]
    context = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA
    with ProcessPoolExecutor(max(1, len(shares)), mp_context=context) as pool:
        waiting = [pool.submit(encode_share, options.base, s, options.features, options.layers) for s in shares]
        print(f"{sum(done.result() for done in waiting)} clips encoded", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
