"""Measure whether a language model gains by reading how sure the recognizer was of each token.

    speechsum-train posterior-mixture --model var/taught --records var/voices/people/records.jsonl \\
        --out results/posterior-mixture.json

A cascade gives its language model the recognizer's text. The alternative is one embedding for each of the recognizer's
tokens: the mean of the language model's own embeddings of the most probable tokens, weighted by their probabilities
(LegoSLM mixes in the same way). If that tells the model more than the text does, a connector is worth training.

The model first writes a summary of the true transcript. Then this measures its loss on that summary, in nats a token,
when it reads instead

- `true`: the true transcript;
- `text`: the recognizer's text, in the language model's own tokens;
- `first`: the embedding of each token that the recognizer wrote;
- `mixture`: the mixture of its eight most probable tokens.

The difference of `text` and `true` is all that better hearing can give. Nothing is trained. Recordings of more than 700
tokens are left out, because the model reads each of them in one piece.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from app.core.prompts import transcript_messages
from model_repo.parts import fetch_part
from training.data.audio import read_audio
from training.data.record import Record
from training.data.record_files import read_records
from training.eval.scores import bootstrap_interval
from training.eval.token_posteriors import PosteriorReader, TokenPosterior
from training.runtime.run_record import command_line

WAYS = ("true", "text", "first", "mixture")
DIFFERENCES = (("text", "true"), ("first", "text"), ("mixture", "first"), ("mixture", "text"))
MAX_TOKENS = 700  # of a recording's transcript
_PLACE = "\u241e"  # where the transcript stands in the prompt


class MixtureReader:
    """A language model that reads a prompt with embeddings in the place of the transcript.

    Args:
        model: A Transformers model for text, in evaluation mode.
        tokenizer: Its tokenizer.
        whisper_tokenizer: Whisper's, of the package `tokenizers`. Both tokenizers are byte-level BPE, so most of
            Whisper's tokens are one token of the model; of others the mean of their parts is used.
    """

    def __init__(self, model: Any, tokenizer: Any, whisper_tokenizer: Any) -> None:
        self.model, self.tokenizer, self._whisper = model, tokenizer, whisper_tokenizer
        self._table = model.get_input_embeddings().weight.detach()
        self._vocabulary = tokenizer.get_vocab()
        self._rows: dict[int, torch.Tensor] = {}

    def summarize(self, query: str, transcript: str, max_tokens: int = 200) -> list[int]:
        """Return the tokens of the model's greedy summary, with the end token."""
        before, after = self._prompt(query)
        prompt = torch.tensor([[*before, *self._encode(transcript), *after]])
        with torch.no_grad():
            written = self.model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_tokens, do_sample=False
            )
        return [int(token) for token in written[0, prompt.shape[1] :]]

    def loss(self, query: str, material: torch.Tensor, answer: Sequence[int]) -> float:
        """Return the sum of the negative log-probabilities of the answer's tokens, in nats.

        material: embeddings in the place of the transcript, shape (tokens, hidden).
        """
        before, after = self._prompt(query)
        ids = torch.tensor(list(answer))
        rows = torch.cat([self._table[before], material, self._table[after], self._table[ids]])[None]
        with torch.no_grad():
            logits = self.model(inputs_embeds=rows).logits[0, -len(answer) - 1 : -1].float()
        return float(torch.nn.functional.cross_entropy(logits, ids, reduction="sum"))

    def embed_text(self, text: str) -> torch.Tensor:
        """Return the embeddings of a text's tokens, shape (tokens, hidden)."""
        return self._table[self._encode(text)]

    def embed_posteriors(self, posteriors: Sequence[TokenPosterior], mix: bool) -> torch.Tensor:
        """Return one embedding for each token of the recognizer, shape (tokens, hidden).

        mix: whether to mix the candidates, or to take the token that was written.
        """
        return torch.stack([self._mixture(one) if mix else self._row(one.token) for one in posteriors])

    def _mixture(self, posterior: TokenPosterior) -> torch.Tensor:
        shares = posterior.probabilities / posterior.probabilities.sum()
        rows = torch.stack([self._row(int(token)) for token in posterior.candidates])
        return torch.from_numpy(shares.astype(np.float32)) @ rows.float()

    def _row(self, token: int) -> torch.Tensor:
        """Return the embedding of one of Whisper's tokens, shape (hidden,)."""
        if token not in self._rows:
            same = self._vocabulary.get(self._whisper.id_to_token(token))
            parts = [same] if same is not None else self._encode(self._whisper.decode([token]))
            self._rows[token] = self._table[parts or [0]].mean(0)
        return self._rows[token]

    def _prompt(self, query: str) -> tuple[list[int], list[int]]:
        text = self.tokenizer.apply_chat_template(
            transcript_messages(query, _PLACE), add_generation_prompt=True, tokenize=False
        )
        before, _, after = text.partition(_PLACE)
        return self._encode(before), self._encode(after)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def measure_record(reader: MixtureReader, record: Record, posteriors: Sequence[TokenPosterior], heard: str) -> Any:
    """Return the record's `id`, the number of `tokens` of the summary, and its loss in each way of `WAYS`."""
    answer = reader.summarize(record.query, record.transcript)
    materials = {
        "true": reader.embed_text(record.transcript),
        "text": reader.embed_text(heard),
        "first": reader.embed_posteriors(posteriors, mix=False),
        "mixture": reader.embed_posteriors(posteriors, mix=True),
    }
    losses = {way: round(reader.loss(record.query, materials[way], answer), 4) for way in WAYS}
    return {"id": record.id, "tokens": len(answer)} | losses


def mixture_figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the loss of each way in nats a token, and their differences with 95 % intervals over recordings."""
    tokens = [row["tokens"] for row in rows]
    figures: dict[str, Any] = {"recordings": len(rows), "tokens": sum(tokens)}
    for way in WAYS:
        figures |= bootstrap_interval(way, rows, [row[way] for row in rows], tokens, 0)
    for one, other in DIFFERENCES:
        figures |= bootstrap_interval(f"{one} - {other}", rows, [row[one] - row[other] for row in rows], tokens, 0)
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `posterior-mixture`."""
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder of a text model")
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
    parser.add_argument(
        "--whisper", type=Path, help="folder of a Whisper in CTranslate2's format [that of the registry]"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures and all losses")


def run(options: argparse.Namespace) -> int:
    """Run `posterior-mixture`: write and print the losses. Raises ValueError if no record can be measured."""
    ear = PosteriorReader(options.whisper or fetch_part("whisper-base-ct2"))
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    reader = MixtureReader(model, AutoTokenizer.from_pretrained(options.model), ear.tokenizer)
    rows = []
    for record in read_records(*options.records):
        if not record.transcript or record.no_speech:
            continue
        posteriors = ear.read(read_audio(record), record.language)
        if 0 < len(posteriors) <= MAX_TOKENS:
            heard = ear.tokenizer.decode([one.token for one in posteriors]).strip()
            rows.append(measure_record(reader, record, posteriors, heard))
            print(json.dumps(rows[-1]), flush=True)
    if not rows:
        raise ValueError("no record has a transcript and audio in which something was heard")
    result = {"command": command_line(), "figures": mixture_figures(rows)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result | {"rows": rows}, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0
