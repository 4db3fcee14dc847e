"""An AudioFlamingo3 model's encoder and projector, cut between the layers that stay as they are and those that are
trained, so that what the lower ones give can be worked out once a clip and kept.

`Clip` is a recording with where its lower layers' output is kept: a file, or the device's memory. Knows nothing about
losses.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import WhisperFeatureExtractor

from training.data.audio import SAMPLING_RATE, read_audio
from training.data.record import Record
from training.models import precision
from training.models.checkpoint import unwrap_peft


class SplitEncoder(nn.Module):
    """model: an AudioFlamingo3 model, with or without LoRA. trained: how many of the encoder's last layers learn."""

    def __init__(self, model: Any, trained: int) -> None:
        super().__init__()
        inner = unwrap_peft(model)
        self.tower = inner.model.audio_tower
        self.projector = inner.model.multi_modal_projector
        self.first_trained_layer = len(self.tower.layers) - trained
        if self.first_trained_layer < 0:
            raise ValueError(f"the encoder has {len(self.tower.layers)} layers, not {trained} to train")

    def weights_digest(self) -> str:
        """A digest of the tower's weights and of where it is cut."""
        digest = hashlib.sha256(str(self.first_trained_layer).encode())
        for tensor in self.tower.state_dict().values():
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def run_lower_layers(self, mel: Tensor, mel_lengths: Tensor) -> tuple[Tensor, Tensor]:
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
        return self._layers(hidden, lengths, range(self.first_trained_layer)), lengths

    def run_upper_layers(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """The last layers' output, same shape."""
        return self._layers(hidden, lengths, range(self.first_trained_layer, len(self.tower.layers)))

    def project(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The last layers' output at 50 Hz → the language model's frames at 25 Hz, and their number a clip."""
        return self.projector(self.pool(hidden)), (lengths - 2) // 2 + 1

    def pool(self, hidden: Tensor) -> Tensor:
        """The last layers' output at 50 Hz → the encoder's own at 25 Hz, which the projector takes."""
        pooled = self.tower.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2)
        return self.tower.layer_norm(pooled)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """From the lower layers' output to the language model's frames, and their number a clip."""
        return self.project(self.run_upper_layers(hidden, lengths), lengths)

    def _layers(self, hidden: Tensor, lengths: Tensor, which: range) -> Tensor:
        valid = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        mask = valid[:, None, None, :].expand(-1, 1, hidden.shape[1], -1)
        for index in which:
            hidden = self.tower.layers[index](hidden, mask)
        return hidden


@dataclass
class Clip:
    """A spoken record and its features, float16, (2, frames at 50 Hz, width): what the lower layers give and what the
    untrained last layer gives. features: their file, or they themselves.
    """

    record: Record
    features: Path | Tensor

    def lower_features(self) -> Tensor:
        return self._features_at(0)

    def top_features(self) -> Tensor:
        return self._features_at(1)

    def _features_at(self, which: int) -> Tensor:
        if isinstance(self.features, Tensor):
            return self.features[which]
        return torch.from_numpy(np.array(np.load(self.features, mmap_mode="r")[which]))


def mel_features(records: Sequence[Record], extractor: WhisperFeatureExtractor) -> tuple[Tensor, Tensor]:
    """Mel frames (batch, bins, longest) and their number a clip."""
    audio = [read_audio(record) for record in records]
    features = extractor(
        audio, sampling_rate=SAMPLING_RATE, padding="longest", return_attention_mask=True, return_tensors="pt"
    )
    return features["input_features"], features["attention_mask"].sum(-1)


@dataclass
class _MelDataset(Dataset[tuple[Tensor, Tensor]]):
    """Groups of records as their mel frames, made where a `DataLoader` asks for them."""

    groups: Sequence[Sequence[Record]]
    extractor: WhisperFeatureExtractor

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return mel_features(self.groups[index], self.extractor)


@torch.no_grad()
def encode_clips(
    encoder: SplitEncoder,
    records: Sequence[Record],
    extractor: WhisperFeatureExtractor,
    folder: Path | None,
    batch: int = 8,
    precision_choice: str = "float32",
    workers: int = 0,
) -> list[Clip]:
    """Work out every record's features into the folder, those that are there already left as they are; without a
    folder into the memory of the encoder's device, about a megabyte for a clip of 13 s.

    The encoder must not have learned anything yet. numbers: in which it computes, of `training.models.precision`.
    workers: processes that make mel frames, of which one makes some eighty clips a second. Files are named by the
    audio's path, the number of layers, the encoder's weights and these numbers, so that another base does not read them
    for its own.
    """
    if folder is None:
        order = sorted(range(len(records)), key=lambda i: records[i].duration_s or 0)
        found = _encode_batches(encoder, [records[i] for i in order], extractor, batch, precision_choice, workers)
        values = dict(zip(order, found, strict=True))
        return [Clip(record, values[i]) for i, record in enumerate(records)]
    folder.mkdir(parents=True, exist_ok=True)
    encoder_name = f"{encoder.weights_digest()} {precision.uses_bfloat16(precision_choice)}"
    files = [folder / f"{_feature_file_stem(record, encoder_name)}.npy" for record in records]
    named = dict(zip(files, records, strict=True))
    missing = sorted((f for f in named if not f.exists()), key=lambda f: named[f].duration_s or 0)
    wanted = [named[file] for file in missing]
    for file, one in zip(
        missing, _encode_batches(encoder, wanted, extractor, batch, precision_choice, workers), strict=True
    ):
        scratch = file.with_suffix(".part")
        with scratch.open("wb") as out:
            np.save(out, one.cpu().numpy())
        scratch.replace(file)
    return [Clip(record, file) for record, file in zip(records, files, strict=True)]


def _encode_batches(
    encoder: SplitEncoder,
    records: Sequence[Record],
    extractor: WhisperFeatureExtractor,
    batch: int,
    precision_choice: str,
    workers: int,
) -> Iterator[Tensor]:
    """Each record's features, on the encoder's device."""
    device = next(encoder.parameters()).device
    groups = [records[start : start + batch] for start in range(0, len(records), batch)]
    for mel, mel_lengths in DataLoader(_MelDataset(groups, extractor), batch_size=None, num_workers=workers):
        with precision.autocast(precision_choice, device):
            hidden, lengths = encoder.run_lower_layers(mel.to(device), mel_lengths.to(device))
            both = torch.stack([hidden, encoder.run_upper_layers(hidden, lengths)], 1).half()
        for values, length in zip(both, lengths.tolist(), strict=True):
            yield values[:, :length].clone()


def pad_frames(rows: Sequence[Tensor], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """(frames, width) each → float32 (batch, longest, width), zeros after the end, and the lengths."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    out = torch.zeros((len(rows), max(map(len, rows)), rows[0].shape[1]), device=device)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row.to(device)
    return out, lengths


def _feature_file_stem(record: Record, encoder: str) -> str:
    path = str(Path(record.audio or "").resolve())
    if record.start is not None or record.end is not None:
        path += f" {record.start} {record.end}"  # parts of one file are clips of their own
    return hashlib.sha256(f"{path} {encoder}".encode()).hexdigest()[:20]
