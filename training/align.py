"""Alignment, the stage before SFT: frames that are words the language model already reads, without running that model.

    speechsum-train align --base FOLDER --data var/data/speech/records.jsonl --out var/runs/align --minutes 40

A connectionist temporal classification (Graves et al., 2006) whose classes are the language model's own token
embeddings: the score of token v at a frame p is -|p - E_v|² / 2 (times `--sharpness`), so a frame that says "budget"
comes to lie where the embedding of "budget" lies, and one that says nothing lies at "Ġ" (a space), the blank. A frozen
SmolLM2 reads one spike a token among such blanks far better than anything else of that rate. The targets are the words
as spoken ("four thousand two hundred dollars"), because CTC keeps their order.

Trains the projector whole and LoRA on the encoder. The paper (arXiv 2509.19631) freezes its encoder; a four-layer
Whisper,
made to be listened to by a decoder over 30 s, does not spell frame by frame unless it is taught to. A step costs a
small
part of an end-to-end one, so that it fits two cores.

Limits: one window (30 s) a clip; clips that are longer, or have more tokens than frames, are left out and counted. One
process.
"""

import argparse
import json
import math
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoTokenizer, WhisperFeatureExtractor

from training.checkpoint import SCALE, adapter_tensors, open_model, save_adapter
from training.corpus.record import Record
from training.examples import SAMPLING_RATE, read_audio, read_records
from training.speech.spoken import spoken

BLANK = "Ġ"
ENCODER_LORA = r".*audio_tower\.layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|out_proj)|fc1|fc2)"
WINDOW_SECONDS = 30


@dataclass
class Clip:
    """One clip to align: samples are read when it is used."""

    record: Record
    targets: list[int]


class Aligner(nn.Module):
    """Encoder and projector under a CTC loss over a vocabulary of token embeddings.

    embeddings: (classes, width), class 0 the blank. `encode` gives (batch, frames, width) at 25 frames a second.
    """

    embeddings: Tensor

    def __init__(self, model: Any, embeddings: Tensor, sharpness: float) -> None:
        super().__init__()
        self.model = model
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tower = inner.model.audio_tower
        self.projector = inner.model.multi_modal_projector
        self.sharpness = sharpness
        self.register_buffer("embeddings", embeddings, persistent=False)

    def encode(self, mel: Tensor, mel_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, bins, mel frames at 100 Hz) → projected frames and their number a clip.

        The encoder's own forward pads every clip to 30 s; this runs its layers on the frames there are, at a third of
        the cost for a 10 s clip. A masked frame takes no part in attention, so the values are the same, but that the
        longest clip of a batch ends in its reflection instead of silence, which moves every frame by a per cent or so.
        """
        tower = self.tower
        hidden = nn.functional.gelu(tower.conv1(mel))
        hidden = nn.functional.gelu(tower.conv2(hidden)).transpose(1, 2)
        lengths = (mel_lengths - 1) // 2 + 1
        hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
        valid = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        for layer in tower.layers:
            hidden = layer(hidden, valid[:, None, None, :].expand(-1, 1, hidden.shape[1], -1))
        hidden = tower.layer_norm(tower.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2))
        return self.projector(hidden), (lengths - 2) // 2 + 1

    def log_probabilities(self, frames: Tensor) -> Tensor:
        """(batch, frames, width) → (batch, frames, classes): how near each frame lies to each token's embedding."""
        half_norms = self.embeddings.square().sum(-1) / 2
        return (self.sharpness * (frames @ self.embeddings.T - half_norms)).log_softmax(-1)

    def forward(self, mel: Tensor, mel_lengths: Tensor, targets: list[list[int]]) -> Tensor:
        """Mean CTC loss a target token."""
        frames, lengths = self.encode(mel.to(self.embeddings.device), mel_lengths.to(self.embeddings.device))
        scores = self.log_probabilities(frames).float().transpose(0, 1)
        flat = torch.tensor([t for row in targets for t in row], device=scores.device)
        counts = torch.tensor([len(row) for row in targets], device=scores.device)
        return (
            nn.functional.ctc_loss(scores, flat, lengths, counts, blank=0, reduction="sum", zero_infinity=True)
            / counts.sum()
        )

    @torch.no_grad()
    def decode(self, mel: Tensor, mel_lengths: Tensor) -> list[list[int]]:
        """The best class a frame, repeats and blanks taken out."""
        frames, lengths = self.encode(mel.to(self.embeddings.device), mel_lengths.to(self.embeddings.device))
        best = self.log_probabilities(frames).argmax(-1)
        out = []
        for row, length in zip(best.tolist(), lengths.tolist(), strict=True):
            row = row[:length]
            out.append([t for i, t in enumerate(row) if t and (i == 0 or row[i - 1] != t)])
        return out


def vocabulary(tokenizer: Any, texts: list[str], size: int) -> list[int]:
    """Token ids of the classes: the blank, then the `size` - 1 tokens most frequent in the texts."""
    counts = Counter(token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"])
    blank = tokenizer.convert_tokens_to_ids(BLANK)
    return [blank, *(token for token, _ in counts.most_common(size) if token != blank)][:size]


def clips(records: list[Record], tokenizer: Any, classes: list[int]) -> list[Clip]:
    """Records that fit one window and the vocabulary, with their targets as class numbers; says how many were left
    out.
    """
    number = {token: i for i, token in enumerate(classes) if i}  # the blank is nobody's target
    kept = []
    for record in records:
        ids = tokenizer(" " + spoken(record.transcript), add_special_tokens=False)["input_ids"]
        targets = [number[token] for token in ids if token in number]
        seconds = record.duration_s or 0
        if (
            targets
            and 0 < seconds <= WINDOW_SECONDS
            and len(targets) >= 0.95 * len(ids)
            and len(targets) * 1.3 < seconds * 25
        ):
            kept.append(Clip(record, targets))
    print(
        f"{len(kept)} clips kept, {len(records) - len(kept)} left out (longer than a window, or too many tokens)",
        flush=True,
    )
    return kept


def batch_of(group: list[Clip], extractor: WhisperFeatureExtractor) -> tuple[Tensor, Tensor]:
    """Mel frames (batch, bins, longest) and their number a clip."""
    audio = [read_audio(clip.record) for clip in group]
    features = extractor(
        audio, sampling_rate=SAMPLING_RATE, padding="longest", return_attention_mask=True, return_tensors="pt"
    )
    return features["input_features"], features["attention_mask"].sum(-1)


def edit_distance(a: list[int], b: list[int]) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def token_error(aligner: Aligner, group: list[Clip], extractor: WhisperFeatureExtractor, batch: int) -> float:
    """Edit distance of decoded to true tokens, a true token."""
    aligner.eval()
    wrong = total = 0
    for i in range(0, len(group), batch):
        part = group[i : i + batch]
        for clip, decoded in zip(part, aligner.decode(*batch_of(part, extractor)), strict=True):
            wrong += edit_distance(decoded, clip.targets)
            total += len(clip.targets)
    aligner.train()
    return wrong / max(1, total)


def train(options: argparse.Namespace) -> Path:
    """Train until the minutes are over and write the adapter (`--out`/adapter.safetensors) and the log."""
    torch.manual_seed(options.seed)
    draw = random.Random(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    extractor = WhisperFeatureExtractor.from_pretrained(options.base)
    records = read_records(*options.data)
    classes = vocabulary(tokenizer, [" " + spoken(r.transcript) for r in records], options.classes)
    every = clips(records, tokenizer, classes)
    if not every:
        raise ValueError("no clip is left to align")
    held = clips(read_records(*options.held), tokenizer, classes) if options.held else []
    model = open_model(options.base)
    embeddings = model.get_input_embeddings().weight.detach()[classes].clone()
    lora = LoraConfig(r=options.rank, lora_alpha=SCALE * options.rank, target_modules=ENCODER_LORA)
    peft_model = get_peft_model(model, lora)
    for name, parameter in peft_model.named_parameters():
        if "multi_modal_projector" in name:
            parameter.requires_grad_(True)
    aligner = Aligner(peft_model, embeddings, options.sharpness).to("cuda" if torch.cuda.is_available() else "cpu")
    trained = [p for p in peft_model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.rate, weight_decay=0.01)
    log: list[dict[str, float]] = []
    began, step = time.monotonic(), 0
    file = options.out / "adapter.safetensors"
    while (share := (time.monotonic() - began) / (60 * options.minutes)) < 1:
        order = sorted(every, key=lambda clip: (clip.record.duration_s or 0) * draw.uniform(0.8, 1.25))
        groups = [order[i : i + options.batch] for i in range(0, len(order), options.batch)]
        draw.shuffle(groups)
        for group in groups:
            share = (time.monotonic() - began) / (60 * options.minutes)
            if share >= 1:
                break
            step += 1
            rate = options.rate * min(1.0, step / options.warmup) * max(0.02, 0.5 * (1 + math.cos(math.pi * share)))
            for setting in optimizer.param_groups:
                setting["lr"] = rate
            loss = aligner(*batch_of(group, extractor), [clip.targets for clip in group])
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            log.append(
                {
                    "step": step,
                    "minutes": round((time.monotonic() - began) / 60, 2),
                    "loss": round(float(loss.detach()), 4),
                }
            )
            if step % options.log_every == 0:
                if held:
                    log[-1]["token_error"] = round(
                        token_error(aligner, held[: options.held_clips], extractor, options.batch), 4
                    )
                print(json.dumps(log[-1]), flush=True)
                save_adapter(adapter_tensors(peft_model), file)
    if held:
        log.append({"step": step, "token_error": round(token_error(aligner, held, extractor, options.batch), 4)})
        print(json.dumps(log[-1]), flush=True)
    save_adapter(adapter_tensors(peft_model), file)
    (options.out / "log.json").write_text(json.dumps(log, indent=1) + "\n")
    (options.out / "classes.json").write_text(json.dumps(classes) + "\n")
    return file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recipe's options."""
    parser.add_argument("--base", type=Path, required=True, help="assembled audio checkpoint to start from")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files of spoken records")
    parser.add_argument("--held", type=Path, nargs="*", default=[], help="JSONL files to measure the token error on")
    parser.add_argument(
        "--held-clips", type=int, default=32, help="of these, how many at each log line (all at the end)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the log")
    parser.add_argument("--minutes", type=float, default=40, help="how long to train")
    parser.add_argument("--batch", type=int, default=16, help="clips a step")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--warmup", type=int, default=30, help="steps to the peak")
    parser.add_argument("--rank", type=int, default=64, help="rank of the encoder's LoRA pairs")
    parser.add_argument("--classes", type=int, default=4000, help="tokens in the vocabulary, the blank among them")
    parser.add_argument("--sharpness", type=float, default=1.0, help="factor on the scores")
    parser.add_argument("--log-every", type=int, default=50, help="steps between two log lines")
    parser.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> int:
    """The `align` command."""
    print(train(options))
    return 0
