"""When each letter is said: a small CTC head over characters on the frames of the untrained encoder, and forced
alignment with it.

Characters are learned in minutes, while words are not (28 classes instead of thousands). When the end of each word is
known, words need no CTC: `training.align.token_spikes` trains them frame by frame. The head is then discarded.
"""

import itertools
import math
import random
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.models.split_encoder import Clip, pad_frames

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"  # class i + 1; class 0 is the blank


def character_classes(text: str) -> tuple[list[int], list[int]]:
    """Return the character classes of a text, and each one's index in it. A run of other characters is a space."""
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
    """Maps frames of shape (batch, frames, width) to log-probabilities of shape (batch, frames, 1 + len(ALPHABET))."""

    def __init__(self, width: int, hidden: int = 384) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, len(ALPHABET) + 1)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return the log-probabilities of the characters at each frame."""
        return self.layers(frames).log_softmax(-1)


def train_head(
    head: CharacterHead, clips: Sequence[Clip], texts: Sequence[str], minutes: float, *, batch: int = 16, seed: int = 0
) -> float:
    """Train the head by CTC for so many minutes, at least one step. Return the mean loss per character of the last
    tenth of the steps.
    """
    device = next(head.parameters()).device
    draw = random.Random(seed)
    pairs = [(clip, character_classes(text)[0]) for clip, text in zip(clips, texts, strict=True)]
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    losses: list[float] = []
    began = time.monotonic()
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1 or not losses:
        for setting in optimizer.param_groups:
            setting["lr"] = 2e-3 * max(0.02, 0.5 * (1 + math.cos(math.pi * share)))
        group = draw.sample(pairs, min(batch, len(pairs)))
        frames, lengths = pad_frames([clip.top_features() for clip, _ in group], device)
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


def forced_alignments(
    scores: Tensor, lengths: Sequence[int], targets: Sequence[Sequence[int]]
) -> list[list[int] | None]:
    """Return, for each clip, the frame of each target: where the most likely CTC path is most certain of it. The frames
    are ascending. None stands for a clip whose targets do not fit into its frames.

    All clips are aligned together, frame by frame, on the device of the scores.

    Args:
        scores: log-probabilities of shape (clips, frames, classes).
        lengths: number of frames of each clip.
        targets: the classes that are said in each clip.
    """
    out: list[list[int] | None] = [None] * len(targets)
    fits = [i for i, (row, length) in enumerate(zip(targets, lengths, strict=True)) if fits_ctc(row, length)]
    if not fits:
        return out
    count = [2 * len(targets[i]) + 1 for i in fits]
    labels = torch.zeros((len(fits), max(count)), dtype=torch.long)
    for row, i in enumerate(fits):
        labels[row, 1 : count[row] : 2] = torch.tensor(targets[i])
    skips = torch.zeros(labels.shape, dtype=torch.bool)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    device = scores.device
    labels, skips = labels.to(device), skips.to(device)
    emitted = scores[torch.tensor(fits, device=device)].float()
    emitted = emitted.gather(2, labels[:, None].expand(-1, emitted.shape[1], -1))
    ends = torch.tensor([lengths[i] for i in fits], device=device)
    nowhere = torch.full_like(emitted[:, 0], -math.inf)
    best = nowhere.clone()
    best[:, :2] = emitted[:, 0, :2]
    steps = torch.zeros(emitted.shape, dtype=torch.uint8, device=device)
    options = torch.stack([nowhere] * 3)
    for time_step in range(1, emitted.shape[1]):
        options[0] = best
        options[1, :, 1:] = best[:, :-1]
        options[2, :, 2:] = torch.where(skips[:, 2:], best[:, :-2], nowhere[:, 2:])
        likeliest, taken = options.max(0)
        steps[:, time_step] = taken.to(torch.uint8)
        # after a clip's end nothing changes, because its path ends there
        best = torch.where((time_step < ends)[:, None], likeliest + emitted[:, time_step], best)
    last = torch.tensor(count, device=device)[:, None] - 1
    state = torch.where(best.gather(1, last) >= best.gather(1, last - 1), last, last - 1)
    states = torch.zeros(emitted.shape[:2], dtype=torch.long, device=device)
    for time_step in range(emitted.shape[1] - 1, -1, -1):
        states[:, time_step] = state[:, 0]
        back = steps[:, time_step].gather(1, state).long()
        state = torch.where((time_step < ends)[:, None], state - back, state)
    sure = emitted.gather(2, states[:, :, None])[:, :, 0]
    for row, (i, path, certain) in enumerate(zip(fits, states.tolist(), sure.tolist(), strict=True)):
        surest: dict[int, tuple[float, int]] = {}
        for time_step in range(lengths[i] - 1, -1, -1):
            if (at := path[time_step]) % 2:
                here = (certain[time_step], time_step)
                surest[at] = max(surest.get(at, here), here)
        out[i] = [surest[2 * n + 1][1] for n in range(count[row] // 2)]
    return out


def fits_ctc(targets: Sequence[int], frames: int) -> bool:
    """Return whether there is a CTC path: it needs a frame for each target and one between two equal targets."""
    return len(targets) > 0 and len(targets) + sum(a == b for a, b in itertools.pairwise(targets)) <= frames
