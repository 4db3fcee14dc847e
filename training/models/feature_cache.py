"""The encoder's output, worked out once a clip and kept: in `sft`, `distill` and `dpo` the encoder is frozen, so that
no epoch, no query about the same clip, and no later run with the same encoder has to work it out again.

`cache_features` goes before a recipe's first step: it fills the folder and gives the collator that reads it; the
model's encoder then passes on what it is given. Names on disk are by the encoder's weights, the mel settings, the audio
file as it now is and the part of it, so that nothing stale is read (a URI is taken to hold what it held). Files of
other encoders or clips are left alone; who wants the room deletes the folder. Knows nothing about losses.
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
SILENCE_FRAMES = 8  # mel frames after a clip's end that its convolutions may still see


@dataclass
class FeatureCollator(AudioCollator):
    """As the collator it stands for, but `input_features` are the encoder's output, (windows, frames, width), float32,
    read from the folder; frames after a window's end are zeros, which the model's own mask leaves out.

    frames: that the encoder gives for a whole window. mel_frames: that it takes. encoder: its name.
    """

    folder: Path = field(kw_only=True)
    encoder_key: str = field(kw_only=True)
    frames: int = field(kw_only=True)
    mel_frames: int = field(kw_only=True)

    def feature_file(self, record: Record) -> Path:
        """Where the record's features are. Raises `BadExample` for audio that is not there."""
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
        file = self.feature_file(record)
        if not file.exists():
            raise UnusableRecord(
                f"{record.id}: {record.audio} has changed since its features were worked out: start again"
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
    """Work out what is missing of the records' features, and make the model take them. Returns the collator for it.

    numbers: the recipe's `precision`, in which the encoder computes; on disk they are float16. Raises ValueError for
    a model of another architecture, or one whose encoder learns; `BadExample` as the collator does.
    """
    if not isinstance(collator, AudioCollator) or not isinstance(collator.family, AudioFlamingo3):
        raise ValueError(f"--features keeps what audioflamingo3's encoder gives; this is {model_type_of(model)}")
    tower = _audio_tower(model)
    if any(parameter.requires_grad for parameter in tower.parameters()):
        raise ValueError("--features keeps what a frozen encoder gives, and this one learns")
    extractor = collator.processor.feature_extractor
    mel = extractor.nb_max_frames
    known = {f.name: getattr(collator, f.name) for f in fields(collator)}
    frames = int(encoded_frames(torch.tensor(mel)))
    name = _encoder_key(model, extractor, precision_choice)
    found = FeatureCollator(**known, folder=folder, encoder_key=name, frames=frames, mel_frames=mel)
    _fill_cache(model, collator, found, records, precision_choice)
    # The instance's own attribute goes before the class's method: nothing else of the encoder changes, its weights are
    # still there for who saves the whole model.
    tower.forward = _identity_forward
    return found


def encoded_frames(mel_frames: Tensor) -> Tensor:
    """Frames that the encoder gives for so many mel frames: a convolution of stride two, then pairs averaged."""
    return ((mel_frames - 1) // 2 + 1 - 2) // 2 + 1


def _identity_forward(input_features: Any, input_features_mask: Any = None, **_: Any) -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(last_hidden_state=input_features)


@torch.no_grad()
def _fill_cache(
    model: Any, collator: AudioCollator, found: FeatureCollator, records: Sequence[Record], numbers: str
) -> None:
    """Fill the folder. What is encoded ends soon after the speech, not after 30 s: the values are the same, since what
    is masked takes no part in attention, at a third of the cost for a clip of 10 s.
    """
    found.folder.mkdir(parents=True, exist_ok=True)
    clips = {found.feature_file(record): record for record in records}
    missing = {file: record for file, record in clips.items() if not file.exists()}
    print_once(f"{len(clips)} clips in {found.folder}, {len(missing)} of them to be encoded")
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
        raise UnusableRecord(f"{record.id}: the encoder gives {record.audio} values that float16 cannot hold")
    scratch = file.with_suffix(f".{os.getpid()}.part")  # a run that is ended while it writes leaves no half a file
    save_file({"features": kept, "mel_frames": lengths}, scratch)
    scratch.replace(file)


def _audio_tower(model: Any) -> Any:
    return unwrap_peft(model).model.audio_tower


def _encoder_key(model: Any, extractor: Any, numbers: str) -> str:
    """Of the encoder's weights, of how mel frames are made, and of the numbers it computes in."""
    settings = json.dumps(extractor.to_dict(), sort_keys=True, default=str)
    named = f"{SplitEncoder(model, 0).weights_digest()} {settings} {precision.uses_bfloat16(numbers)}"
    return hashlib.sha256(named.encode()).hexdigest()
