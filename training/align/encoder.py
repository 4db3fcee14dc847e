"""An AudioFlamingo3 model's encoder and projector, cut between the layers that stay as they are and those that are
trained, so that what the lower ones give can be worked out once a clip and kept.

`Clip` is a recording with the file its lower layers' output is kept in. Knows nothing about losses.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor

from training import precision
from training.audio import SAMPLING_RATE, read_audio
from training.checkpoint import unwrapped
from training.corpus.record import Record


class SplitEncoder(nn.Module):
    """model: an AudioFlamingo3 model, with or without LoRA. trained: how many of the encoder's last layers learn."""

    def __init__(self, model: Any, trained: int) -> None:
        super().__init__()
        inner = unwrapped(model)
        self.tower = inner.model.audio_tower
        self.projector = inner.model.multi_modal_projector
        self.first = len(self.tower.layers) - trained
        if self.first < 0:
            raise ValueError(f"the encoder has {len(self.tower.layers)} layers, not {trained} to train")

    def name(self) -> str:
        """A digest of the tower's weights and of where it is cut."""
        digest = hashlib.sha256(str(self.first).encode())
        for tensor in self.tower.state_dict().values():
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def lower(self, mel: Tensor, mel_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, bins, mel frames at 100 Hz) → what the lower layers give, (batch, frames at 50 Hz, width), and the
        number of frames a clip.

        The encoder's own forward pads every clip to 30 s; this runs its layers on the frames there are, at a third of
        the cost for a 10 s clip. A masked frame takes no part in attention, so the values are the same, but that the
        longest clip of a batch ends in its reflection instead of silence, which moves every frame by a per cent or so.
        """
        tower = self.tower
        hidden = nn.functional.gelu(tower.conv1(mel))
        hidden = nn.functional.gelu(tower.conv2(hidden)).transpose(1, 2)
        hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
        lengths = (mel_lengths - 1) // 2 + 1
        return self._layers(hidden, lengths, range(self.first)), lengths

    def upper(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """The last layers' output, same shape."""
        return self._layers(hidden, lengths, range(self.first, len(self.tower.layers)))

    def project(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The last layers' output at 50 Hz → the language model's frames at 25 Hz, and their number a clip."""
        return self.projector(self.pool(hidden)), (lengths - 2) // 2 + 1

    def pool(self, hidden: Tensor) -> Tensor:
        """The last layers' output at 50 Hz → the encoder's own at 25 Hz, which the projector takes."""
        pooled = self.tower.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2)
        return self.tower.layer_norm(pooled)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """From the lower layers' output to the language model's frames, and their number a clip."""
        return self.project(self.upper(hidden, lengths), lengths)

    def _layers(self, hidden: Tensor, lengths: Tensor, which: range) -> Tensor:
        valid = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        mask = valid[:, None, None, :].expand(-1, 1, hidden.shape[1], -1)
        for index in which:
            hidden = self.tower.layers[index](hidden, mask)
        return hidden


@dataclass
class Clip:
    """A spoken record and the file of its features: float16, (2, frames at 50 Hz, width), what the lower layers give
    and what the untrained last layer gives.
    """

    record: Record
    features: Path

    def lower(self) -> NDArray[np.float16]:
        return np.array(np.load(self.features, mmap_mode="r")[0])

    def top(self) -> NDArray[np.float16]:
        return np.array(np.load(self.features, mmap_mode="r")[1])


def mel_of(records: Sequence[Record], extractor: WhisperFeatureExtractor) -> tuple[Tensor, Tensor]:
    """Mel frames (batch, bins, longest) and their number a clip."""
    audio = [read_audio(record) for record in records]
    features = extractor(
        audio, sampling_rate=SAMPLING_RATE, padding="longest", return_attention_mask=True, return_tensors="pt"
    )
    return features["input_features"], features["attention_mask"].sum(-1)


@torch.no_grad()
def encode(
    encoder: SplitEncoder,
    records: Sequence[Record],
    extractor: WhisperFeatureExtractor,
    folder: Path,
    batch: int = 8,
    numbers: str = "float32",
) -> list[Clip]:
    """Work out every record's features into the folder, those that are there already left as they are.

    The encoder must not have learned anything yet. numbers: in which it computes, of `training.precision`. Files are
    named by the audio's path, the number of layers, the encoder's weights and these numbers, so that another base does
    not read them for its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = next(encoder.parameters()).device
    encoder_name = f"{encoder.name()} {precision.bfloat16(numbers)}"
    clips = [Clip(record, folder / f"{_name(record, encoder_name)}.npy") for record in records]
    missing = sorted((c for c in clips if not c.features.exists()), key=lambda c: c.record.duration_s or 0)
    for start in range(0, len(missing), batch):
        group = missing[start : start + batch]
        mel, mel_lengths = mel_of([clip.record for clip in group], extractor)
        with precision.autocast(numbers, device):
            hidden, lengths = encoder.lower(mel.to(device), mel_lengths.to(device))
            both = torch.stack([hidden, encoder.upper(hidden, lengths)], 1).half().cpu().numpy()
        for clip, values, length in zip(group, both, lengths.tolist(), strict=True):
            scratch = clip.features.with_suffix(".part")
            with scratch.open("wb") as file:
                np.save(file, values[:, :length])
            scratch.replace(clip.features)
    return clips


def padded(rows: Sequence[NDArray[np.float16]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """(frames, width) each → float32 (batch, longest, width), zeros after the end, and the lengths."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    out = torch.zeros((len(rows), int(lengths.max()), rows[0].shape[1]), device=device)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(row).to(device)
    return out, lengths


def _name(record: Record, encoder: str) -> str:
    path = str(Path(record.audio or "").resolve())
    if record.start is not None or record.end is not None:
        path += f" {record.start} {record.end}"  # parts of one file are clips of their own
    return hashlib.sha256(f"{path} {encoder}".encode()).hexdigest()[:20]
