"""The encoder's output, computed once for each clip and stored: in `sft`, `distill` and `dpo` the encoder is frozen, so
no epoch, no other query about the same clip, and no later run with the same encoder needs to compute it again.

`cache_features` is called before the first step of a recipe. It fills the folder and returns the collator that reads
it; the model's encoder then passes its input through. A file's name depends on the encoder's weights, the mel settings,
the current state of the audio file and the part of it, so that nothing outdated is read (a URI is assumed not to
change). Files of other encoders or clips are left alone; delete the folder to free the space. Knows nothing about
losses.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from training.data.record import Record
from training.data.record_files import UnusableRecord, is_uri
from training.families.audioflamingo3 import AudioFlamingo3
from training.models import precision
from training.models.checkpoint import model_type_of, unwrap_peft
from training.models.collate import AudioCollator, Collator
from training.models.split_encoder import SplitEncoder
from training.runtime.distributed import print_once

WINDOW_BATCH_SIZE = 8
SILENCE_FRAMES = 8  # mel frames after a clip's end that the convolutions may still reach


@dataclass
class FeatureCollator(AudioCollator):
    """An `AudioCollator` whose `input_features` are the encoder's output, of shape (windows, frames, width), float32,
    read from the folder. Frames after the end of a window's audio are zeros, which the model masks.

    Attributes:
        folder: folder of the features.
        encoder_key: digest of the encoder and its settings, which is a part of the files' names.
        frames: frames of the encoder's output for a whole window.
        mel_frames: mel frames of a whole window.
    """

    folder: Path = field(kw_only=True)
    encoder_key: str = field(kw_only=True)
    frames: int = field(kw_only=True)
    mel_frames: int = field(kw_only=True)

    def feature_file(self, record: Record) -> Path:
        """Return the file of the record's features. Raises UnusableRecord for audio that does not exist."""
        if not record.audio:
            raise UnusableRecord(f"{record.id}: has no audio", "no audio")
        named: list[Any] = [self.encoder_key, record.start, record.end]
        if is_uri(record.audio):
            named += [record.audio]
        else:
            try:
                found = os.stat(record.audio)
            except OSError as error:
                why = f"{record.id}: {record.audio} cannot be read: {error.strerror}"
                raise UnusableRecord(why, "audio missing") from error
            named += [str(Path(record.audio).resolve()), found.st_mtime_ns, found.st_size]
        return self.folder / f"{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]}.safetensors"

    def encode_question(self, record: Record) -> tuple[list[int], dict[str, Tensor]]:
        """Return the ids of the prompt, and the encoder's output for the record's audio. Raises UnusableRecord if it is
        not in the folder.
        """
        file = self.feature_file(record)
        if not file.exists():
            raise UnusableRecord(
                f"{record.id}: {record.audio} has changed since its features were computed: start the run again"
            )
        known = load_file(file)
        lengths = torch.from_numpy(known["mel_frames"])
        windows = torch.zeros((len(lengths), self.frames, known["features"].shape[1]))
        each = encoded_frames(lengths).tolist()
        for window, values in zip(windows, torch.from_numpy(known["features"]).split(each), strict=True):
            window[: len(values)] = values
        mask = (torch.arange(self.mel_frames) < lengths[:, None]).to(torch.int32)
        if (prompt := self.prompt(record)).count(self.processor.audio_token) != 1:
            raise UnusableRecord(f"{record.id}: the query holds the audio placeholder")
        spread = prompt.replace(self.processor.audio_token, self.processor.audio_token * sum(each))
        return self.tokenizer(spread)["input_ids"], {"input_features": windows, "input_features_mask": mask}


def cache_features(
    model: Any, collator: Collator, records: Sequence[Record], folder: Path, precision_choice: str
) -> FeatureCollator:
    """Compute the missing features of the records, make the model's encoder pass features through, and return the
    collator that reads them.

    precision_choice: number format in which the encoder computes (`training.models.precision`). Files are float16.

    Raises ValueError for a model of another family or with an encoder that is trained, and UnusableRecord as the
    collator does.
    """
    if not isinstance(collator, AudioCollator) or not isinstance(collator.family, AudioFlamingo3):
        raise ValueError(f"--feature-cache works with the family audioflamingo3 only; this is {model_type_of(model)}")
    tower = _audio_tower(model)
    if any(parameter.requires_grad for parameter in tower.parameters()):
        raise ValueError("--feature-cache needs a frozen encoder, and this one is trained")
    extractor = collator.processor.feature_extractor
    mel = extractor.nb_max_frames
    known = {f.name: getattr(collator, f.name) for f in fields(collator)}
    frames = int(encoded_frames(torch.tensor(mel)))
    name = _encoder_key(model, extractor, precision_choice)
    found = FeatureCollator(**known, folder=folder, encoder_key=name, frames=frames, mel_frames=mel)
    _fill_cache(model, collator, found, records, precision_choice)
    # An attribute of the instance takes precedence over the class's method. Nothing else of the encoder changes, and
    # its weights are still there when the whole model is saved.
    tower.forward = _identity_forward
    return found


def encoded_frames(mel_frames: Tensor) -> Tensor:
    """Return the encoder's frames for so many mel frames: a convolution of stride two, then the mean of pairs."""
    return ((mel_frames - 1) // 2 + 1 - 2) // 2 + 1


def _identity_forward(input_features: Any, input_features_mask: Any = None, **_: Any) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(last_hidden_state=input_features)


@torch.no_grad()
def _fill_cache(
    model: Any, collator: AudioCollator, found: FeatureCollator, records: Sequence[Record], numbers: str
) -> None:
    """Write the missing files. Each window is encoded up to shortly after the end of its audio instead of 30 s: the
    values are the same, because masked frames take no part in attention, at a third of the cost for a clip of 10 s.
    """
    found.folder.mkdir(parents=True, exist_ok=True)
    clips = {found.feature_file(record): record for record in records}
    missing = {file: record for file, record in clips.items() if not file.exists()}
    print_once(f"{len(clips)} clips in {found.folder}, {len(missing)} of them are not encoded yet")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tower = _audio_tower(model).to(device)
    encoder = SplitEncoder(model, 0)
    training = tower.training
    tower.eval()
    for number, (file, record) in enumerate(missing.items(), 1):
        given = collator.encode_question(record)[1]
        lengths = given["input_features_mask"].sum(-1)
        parts: list[torch.Tensor] = []
        for mel, mask in zip(*(given[name].split(WINDOW_BATCH_SIZE) for name in given), strict=True):
            spoken = mask.sum(-1)
            heard = mel[..., : int(spoken.max()) + SILENCE_FRAMES]
            with precision.autocast(numbers, device):
                hidden = encoder.pool(encoder.run_lower_layers(heard.to(device), spoken.to(device))[0])
            parts += hidden.float().cpu().unbind()
        each = encoded_frames(lengths).tolist()
        values = torch.cat([part[:count] for part, count in zip(parts, each, strict=True)]).numpy()
        _save_features(file, record, values, lengths.numpy().astype(np.int32))
        if number % 500 == 0:
            print_once(f"{number}/{len(missing)} encoded")
    tower.train(training)


def _save_features(file: Path, record: Record, values: Any, lengths: Any) -> None:
    kept = values.astype(np.float16)
    if not np.isfinite(kept).all():
        raise UnusableRecord(f"{record.id}: the encoder gives {record.audio} values that are too large for float16")
    scratch = file.with_suffix(f".{os.getpid()}.part")  # a run that is killed here leaves no incomplete file
    save_file({"features": kept, "mel_frames": lengths}, scratch)
    scratch.replace(file)


def _audio_tower(model: Any) -> Any:
    return unwrap_peft(model).model.audio_tower


def _encoder_key(model: Any, extractor: Any, numbers: str) -> str:
    """Return a digest of the encoder's weights, the mel settings and the number format in which it computes."""
    settings = json.dumps(extractor.to_dict(), sort_keys=True, default=str)
    named = f"{SplitEncoder(model, 0).weights_digest()} {settings} {precision.uses_bfloat16(numbers)}"
    return hashlib.sha256(named.encode()).hexdigest()
