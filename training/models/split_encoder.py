"""The encoder and projector of an AudioFlamingo3 model, split between the frozen and the trained layers, so that the
output of the lower ones can be computed once for each clip and kept.

`Clip` is a recording with the place where this output is kept: a file, or the device's memory. Knows nothing about
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
    """The encoder in two parts.

    Args:
        model: an AudioFlamingo3 model, with or without LoRA.
        trained: how many of the encoder's last layers are trained. Raises ValueError if it has fewer.
    """

    def __init__(self, model: Any, trained: int) -> None:
        super().__init__()
        inner = unwrap_peft(model)
        self.tower = inner.model.audio_tower
        self.projector = inner.model.multi_modal_projector
        self.first_trained_layer = len(self.tower.layers) - trained
        if self.first_trained_layer < 0:
            raise ValueError(f"the encoder has {len(self.tower.layers)} layers, not {trained} to train")

    def weights_digest(self) -> str:
        """Return a digest of the encoder's weights and of the place where it is split."""
        digest = hashlib.sha256(str(self.first_trained_layer).encode())
        for tensor in self.tower.state_dict().values():
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def run_lower_layers(self, mel: Tensor, mel_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of the lower layers, of shape (batch, frames at 50 Hz, width), and the frames of each clip.

        The encoder's own forward method pads every clip to 30 s. This one runs the layers on the clip's own frames, at
        a third of the cost for a clip of 10 s. Masked frames take no part in attention, so the values are the same,
        except that the longest clip of a batch is padded by reflection instead of silence at its end, which changes
        every frame by about one per cent.

        Args:
            mel: mel frames of shape (batch, bins, frames at 100 Hz).
            mel_lengths: number of mel frames of each clip.
        """
        tower = self.tower
        hidden = nn.functional.gelu(tower.conv1(mel))
        hidden = nn.functional.gelu(tower.conv2(hidden)).transpose(1, 2)
        hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
        lengths = (mel_lengths - 1) // 2 + 1
        return self._layers(hidden, lengths, range(self.first_trained_layer)), lengths

    def run_upper_layers(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Return the output of the last layers, of the same shape."""
        return self._layers(hidden, lengths, range(self.first_trained_layer, len(self.tower.layers)))

    def project(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the language model's frames at 25 Hz for the output of the last layers, and their number for each
        clip.
        """
        return self.projector(self.pool(hidden)), (lengths - 2) // 2 + 1

    def pool(self, hidden: Tensor) -> Tensor:
        """Return the encoder's output at 25 Hz, the projector's input, for the output of the last layers at 50 Hz."""
        pooled = self.tower.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2)
        return self.tower.layer_norm(pooled)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the language model's frames for the output of the lower layers, and their number for each clip."""
        return self.project(self.run_upper_layers(hidden, lengths), lengths)

    def _layers(self, hidden: Tensor, lengths: Tensor, which: range) -> Tensor:
        valid = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        mask = valid[:, None, None, :].expand(-1, 1, hidden.shape[1], -1)
        for index in which:
            hidden = self.tower.layers[index](hidden, mask)
        return hidden


@dataclass
class Clip:
    """A spoken record with its features, float16, of shape (2, frames at 50 Hz, width): the output of the lower layers
    and that of the untrained last layer. `features` is their file, or the tensor itself.
    """

    record: Record
    features: Path | Tensor

    def lower_features(self) -> Tensor:
        """Return the output of the lower layers, of shape (frames at 50 Hz, width)."""
        return self._features_at(0)

    def top_features(self) -> Tensor:
        """Return the output of the untrained last layer, of shape (frames at 50 Hz, width)."""
        return self._features_at(1)

    def _features_at(self, which: int) -> Tensor:
        if isinstance(self.features, Tensor):
            return self.features[which]
        return torch.from_numpy(np.array(np.load(self.features, mmap_mode="r")[which]))


def mel_features(records: Sequence[Record], extractor: WhisperFeatureExtractor) -> tuple[Tensor, Tensor]:
    """Return the mel frames, of shape (batch, bins, longest), and their number for each clip."""
    audio = [read_audio(record) for record in records]
    features = extractor(
        audio, sampling_rate=SAMPLING_RATE, padding="longest", return_attention_mask=True, return_tensors="pt"
    )
    return features["input_features"], features["attention_mask"].sum(-1)


@dataclass
class _MelDataset(Dataset[tuple[Tensor, Tensor]]):
    """Mel frames of groups of records, computed when a `DataLoader` asks for them."""

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
    """Compute the features of every record that are not in the folder yet, and return the clips. Without a folder the
    features stay in the memory of the encoder's device: about a megabyte for a clip of 13 s.

    The encoder must not have been trained yet. A file's name depends on the audio's path, the number of layers, the
    encoder's weights and the number format, so that another base does not use the files.

    Args:
        precision_choice: number format in which the encoder computes (`training.models.precision`).
        workers: processes that compute mel frames. One of them does about eighty clips a second.
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
    """Yield the features of each record, on the encoder's device."""
    device = next(encoder.parameters()).device
    groups = [records[start : start + batch] for start in range(0, len(records), batch)]
    for mel, mel_lengths in DataLoader(_MelDataset(groups, extractor), batch_size=None, num_workers=workers):
        with precision.autocast(precision_choice, device):
            hidden, lengths = encoder.run_lower_layers(mel.to(device), mel_lengths.to(device))
            both = torch.stack([hidden, encoder.run_upper_layers(hidden, lengths)], 1).half()
        for values, length in zip(both, lengths.tolist(), strict=True):
            yield values[:, :length].clone()


def pad_frames(rows: Sequence[Tensor], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Return the rows of shape (frames, width) as one float32 tensor of shape (batch, longest, width), padded with
    zeros, and their lengths.
    """
    lengths = torch.tensor([len(row) for row in rows], device=device)
    out = torch.zeros((len(rows), max(map(len, rows)), rows[0].shape[1]), device=device)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row.to(device)
    return out, lengths


def _feature_file_stem(record: Record, encoder: str) -> str:
    path = str(Path(record.audio or "").resolve())
    if record.start is not None or record.end is not None:
        path += f" {record.start} {record.end}"  # each part of a file is a clip of its own
    return hashlib.sha256(f"{path} {encoder}".encode()).hexdigest()[:20]
