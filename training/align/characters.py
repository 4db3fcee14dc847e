"""When is each letter said? A small character CTC head on the untrained encoder's frames, and forced alignment by it.

Characters are learned in minutes where words are not (twenty-eight classes against thousands), and once it is known
where a word ends, words need no CTC: `training.align.tokens` trains them frame by frame. The head is thrown away.
"""

import itertools
import math
import random
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.align.encoder import Clip, padded

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"  # class i + 1; class 0 is the blank


def spelled(text: str) -> tuple[list[int], list[int]]:
    """Character classes of a text, and for each the index in the text it came from. Runs of other signs are a space."""
    classes: list[int] = []
    origins: list[int] = []
    for index, letter in enumerate(text):
        found = ALPHABET.find(letter.lower()) if letter.lower() in ALPHABET else 0
        if found == 0 and (not classes or classes[-1] == 1):
            continue
        classes.append(found + 1)
        origins.append(index)
    if classes and classes[-1] == 1:
        del classes[-1], origins[-1]
    return classes, origins


class CharacterHead(nn.Module):
    """(batch, frames, width) → (batch, frames, 1 + len(ALPHABET)) log-probabilities."""

    def __init__(self, width: int, hidden: int = 384) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, len(ALPHABET) + 1)
        )

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames).log_softmax(-1)  # type: ignore[no-any-return]


def train_head(
    head: CharacterHead, clips: Sequence[Clip], texts: Sequence[str], minutes: float, *, batch: int = 16, seed: int = 0
) -> float:
    """CTC over characters for so long; returns the mean loss a character of the last tenth of the steps."""
    device = next(head.parameters()).device
    draw = random.Random(seed)
    pairs = [(clip, spelled(text)[0]) for clip, text in zip(clips, texts, strict=True)]
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    losses: list[float] = []
    began = time.monotonic()
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1 or not losses:
        for setting in optimizer.param_groups:
            setting["lr"] = 2e-3 * max(0.02, 0.5 * (1 + math.cos(math.pi * share)))
        group = draw.sample(pairs, min(batch, len(pairs)))
        frames, lengths = padded([clip.top() for clip, _ in group], device)
        targets = torch.tensor([t for _, row in group for t in row], device=device)
        counts = torch.tensor([len(row) for _, row in group], device=device)
        scores = head(frames).transpose(0, 1)
        loss = nn.functional.ctc_loss(scores, targets, lengths, counts, reduction="sum", zero_infinity=True)
        loss = loss / counts.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def forced_alignment(scores: NDArray[np.float32], targets: Sequence[int]) -> list[int] | None:
    """(frames, classes) log-probabilities → the frame each target is surest in on the likeliest CTC path, ascending.

    None if the targets do not fit into the frames.
    """
    labels = np.zeros(2 * len(targets) + 1, dtype=np.int64)
    labels[1::2] = targets
    if not targets or len(targets) + sum(a == b for a, b in itertools.pairwise(targets)) > len(scores):
        return None
    skips = np.zeros(len(labels), dtype=bool)
    skips[3::2] = labels[3::2] != labels[1:-2:2]
    emitted = scores[:, labels]
    best = np.full(len(labels), -np.inf)
    best[:2] = emitted[0, :2]
    steps = np.zeros((len(scores), len(labels)), dtype=np.int8)
    options = np.full((3, len(labels)), -np.inf)
    for time_step in range(1, len(scores)):
        options[0] = best
        options[1, 1:] = best[:-1]
        options[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        steps[time_step] = options.argmax(0)
        best = options.max(0) + emitted[time_step]
    state = len(labels) - 1 if best[-1] >= best[-2] else len(labels) - 2
    surest: dict[int, tuple[float, int]] = {}
    for time_step in range(len(scores) - 1, -1, -1):
        if state % 2:
            here = (float(emitted[time_step, state]), time_step)
            surest[state] = max(surest.get(state, here), here)
        state -= int(steps[time_step, state])
    return [surest[2 * i + 1][1] for i in range(len(targets))]
