"""Probe the audio frames of a model: take the nearest token to each frame, and compare this text with what was said.

    speechsum-train probe --base var/aligned --data var/data/dev/records.jsonl [--classes var/runs/align/classes.json]

`align` trains frames to be near the embeddings of the tokens that are said. This command measures how far it has come
without the language model: the text of a clip is the tokens of its frames without repeats and blanks. `word_error` is
the edit distance for each word that was said, and `character_error` the same for characters, by which "traler" for
"trailer" is nearly right. Capitals and punctuation do not count. Intervals are 95 %, bootstrap over recordings.

Limits: a clip has one window (30 s); longer ones are left out and counted. If SFT trained the projector further, only
the model's own language model may understand its frames. Trains nothing.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from transformers import AutoTokenizer, WhisperFeatureExtractor

from training.align.command import clips_in_one_window
from training.align.token_spikes import BLANK, Aligner, ctc_collapse, spoken_words
from training.data.check import read_training_records
from training.data.record import Record
from training.eval.scores import bootstrap_interval
from training.models.checkpoint import open_model
from training.models.split_encoder import SplitEncoder, mel_features
from training.runtime.option_names import add_option
from training.runtime.run_record import command_line

ERROR_NAMES = ("word_error", "character_error")


def error_row(record: Record, said: str, read: str) -> dict[str, Any]:
    """Return what was said and what was read, the edit distances in words and characters, and the words and characters
    that were said (`…_of`).
    """
    said, read = (" ".join(text.lower().split()) for text in (said, read))
    row: dict[str, Any] = {"id": record.id, "recording": record.recording or record.id, "said": said, "read": read}
    for name, parts in zip(ERROR_NAMES, ((said.split(), read.split()), (said, read)), strict=True):
        row |= {name: Levenshtein.distance(*parts), f"{name}_of": len(parts[0])}
    return row


class FrameReader:
    """Reads the frames of a model. classes: the token ids that frames may stand for, the blank first; None allows
    all.
    """

    def __init__(
        self, model: Any, tokenizer: Any, extractor: WhisperFeatureExtractor, classes: list[int] | None
    ) -> None:
        blank = tokenizer.convert_tokens_to_ids(BLANK)
        embeddings: Tensor = model.get_input_embeddings().weight.detach()
        self.classes = classes or [blank, *(i for i in range(len(tokenizer)) if i != blank)]
        self.aligner = Aligner(SplitEncoder(model, 0), embeddings[self.classes].float())
        self.tokenizer, self.extractor = tokenizer, extractor

    @torch.no_grad()
    def read(self, records: Sequence[Record]) -> list[str]:
        """Return the text of each record's frames."""
        hidden, lengths = self.aligner.encoder.run_lower_layers(*mel_features(records, self.extractor))
        paths = self.aligner.best_classes(*self.aligner.encoder(hidden, lengths))
        return [self.tokenizer.decode([self.classes[token] for token in ctc_collapse(path)]) for path in paths]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `probe`."""
    parser.add_argument("--base", type=Path, required=True, help="assembled audio checkpoint")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
    parser.add_argument("--classes", type=Path, help="classes.json of `align`, to allow only its tokens")
    add_option(parser, "--batch-size", "--batch", type=int, default=8, help="Clips that are read at once.")
    parser.add_argument("--max-words", type=int, default=0, help="leave out records of more spoken words; 0 keeps all")
    parser.add_argument("--show", type=int, default=3, help="number of recordings whose texts are printed")
    parser.add_argument("--out", type=Path, help="JSON file to write, with the scores and all texts")


def run(options: argparse.Namespace) -> int:
    """Run `probe`: print the error rates, and write them if `--out` is given. Raises ValueError if no clip is
    left.
    """
    records = clips_in_one_window(read_training_records(options))
    if not records:
        raise ValueError("no clip is left to read")
    model = open_model(options.base).eval()
    extractor = WhisperFeatureExtractor.from_pretrained(options.base)
    classes = json.loads(options.classes.read_text()) if options.classes else None
    reader = FrameReader(model, AutoTokenizer.from_pretrained(options.base), extractor, classes)
    read: list[str] = []
    for start in range(0, len(records), options.batch_size):
        read += reader.read(records[start : start + options.batch_size])
    texts = spoken_words([record.transcript for record in records])
    rows = [error_row(*of) for of in zip(records, texts, read, strict=True)]
    for row in rows[: options.show]:
        print(f"{row['said']}\n> {row['read']}\n")
    figures: dict[str, Any] = {"recordings": len(rows)}
    for name in ERROR_NAMES:
        figures |= bootstrap_interval(name, rows, [row[name] for row in rows], [row[f"{name}_of"] for row in rows], 0)
    print(json.dumps(figures))
    if options.out:
        options.out.write_text(
            json.dumps({"command": command_line(), "figures": figures, "rows": rows}, indent=1) + "\n"
        )
    return 0
