from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor

from training.data.audio import read_audio
from training.data.record import Record
from training.models.checkpoint import open_model
from training.models.split_encoder import SplitEncoder, encode_clips, mel_features, pad_frames


@pytest.fixture(scope="module")
def model(audio_folder: Path) -> Any:
    return open_model(audio_folder).eval()


def whole_window(record: Record, extractor: WhisperFeatureExtractor) -> tuple[Tensor, Tensor]:
    """The clip as the model itself takes it: padded to 30 s, with its mask."""
    found = extractor(read_audio(record), sampling_rate=16_000, return_attention_mask=True, return_tensors="pt")
    return found["input_features"], found["attention_mask"]


@torch.no_grad()
def inside(model: Any, first: int, mel: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The model's own forward: what enters layer `first`, what leaves the last layer, and the projected frames."""
    seen = []
    layers = model.model.audio_tower.layers
    hooks = [
        layers[first].register_forward_pre_hook(lambda _, args: seen.append(args[0])),
        layers[-1].register_forward_hook(lambda _, __, out: seen.append(out)),
    ]
    frames = model.model.get_audio_features(mel, mask).pooler_output
    for hook in hooks:
        hook.remove()
    return seen[0][0], seen[1][0], frames


@pytest.mark.parametrize("trained", [0, 1, 2])
@torch.no_grad()
def test_frames_are_those_of_the_encoders_own_forward(
    model: Any, pair: list[Record], extractor: WhisperFeatureExtractor, trained: int
) -> None:
    encoder = SplitEncoder(model, trained)
    mel, mel_lengths = mel_features(pair, extractor)
    frames, lengths = encoder(*encoder.run_lower_layers(mel, mel_lengths))
    assert lengths.tolist() == [37, 62]
    for row, record in enumerate(pair):
        window, mask = whole_window(record, extractor)
        exact = model.model.get_audio_features(window, mask).pooler_output
        assert len(exact) == lengths[row]
        # A few frames beyond the end, for the convolutions, are as good as all 30 seconds.
        short, _ = encoder(*encoder.run_lower_layers(window[..., : mask.sum() + 8], mask.sum(-1)))
        torch.testing.assert_close(short[0, : len(exact)], exact, atol=1e-4, rtol=1e-4)
        # The longest clip of a batch ends without them: its last spectrogram frames reflect the signal where the
        # padded ones meet silence, and attention carries that, small, to every frame.
        assert (frames[row, : len(exact)] - exact).abs().max() < 0.1 * exact.abs().mean()


def test_more_layers_than_there_are_cannot_be_trained(model: Any) -> None:
    with pytest.raises(ValueError, match="2 layers, not 3"):
        SplitEncoder(model, 3)


@pytest.mark.parametrize("trained", [1, 2])
def test_features_are_the_lower_and_the_last_layers_outputs(
    model: Any, pair: list[Record], extractor: WhisperFeatureExtractor, tmp_path: Path, trained: int
) -> None:
    encoder = SplitEncoder(model, trained)
    clips = encode_clips(encoder, [pair[1], pair[0]], extractor, tmp_path)
    assert [clip.record for clip in clips] == [pair[1], pair[0]], "clips come in the records' order"
    for clip, count in zip(clips, (125, 75), strict=True):
        lower, top = clip.lower_features(), clip.top_features()
        assert lower.dtype == top.dtype == torch.float16
        assert lower.shape == top.shape == (count, 32)
        below, above, exact = inside(model, encoder.first_trained_layer, *whole_window(clip.record, extractor))
        ours = [lower.float(), top.float()]
        with torch.no_grad():
            ours.append(encoder(*pad_frames([lower]))[0][0])
        for found, true in zip(ours, (below[:count], above[:count], exact), strict=True):
            if count == 75:  # silence follows it in the batch as in the window: float16 is all the difference
                torch.testing.assert_close(found, true, atol=5e-3, rtol=5e-3)
            # The longer one ends in its reflection: its last frames differ, and through attention the others, little.
            assert (found - true)[:-2].abs().max() < 0.1 * true.abs().mean()
    assert not torch.equal(clips[0].lower_features(), clips[0].top_features())


def test_features_that_are_there_are_read_and_the_others_are_worked_out(
    model: Any, pair: list[Record], extractor: WhisperFeatureExtractor, tmp_path: Path
) -> None:
    encoder = SplitEncoder(model, 1)
    here, missing = encode_clips(encoder, pair, extractor, tmp_path / "features")
    assert isinstance(here.features, Path)
    assert isinstance(missing.features, Path)
    true = missing.lower_features()
    np.save(here.features, np.full((2, 3, 32), 7, np.float16))
    written = here.features.stat().st_mtime_ns
    missing.features.unlink()
    again = encode_clips(encoder, pair, extractor, tmp_path / "features")
    assert again[0].lower_features().tolist() == [[7.0] * 32] * 3
    assert here.features.stat().st_mtime_ns == written
    np.testing.assert_allclose(again[1].lower_features(), true, atol=5e-3, rtol=5e-3)
    assert sorted(f.suffix for f in (tmp_path / "features").iterdir()) == [".npy", ".npy"], "nothing half-written"


def test_another_number_of_trained_layers_has_files_of_its_own(
    model: Any, pair: list[Record], extractor: WhisperFeatureExtractor, tmp_path: Path
) -> None:
    one = encode_clips(SplitEncoder(model, 1), pair[:1], extractor, tmp_path)[0]
    two = encode_clips(SplitEncoder(model, 2), pair[:1], extractor, tmp_path)[0]
    assert one.features != two.features
    np.testing.assert_array_equal(one.top_features(), two.top_features())
    assert not torch.equal(one.lower_features(), two.lower_features())


def test_another_base_has_files_of_its_own(
    audio_folder: Path, pair: list[Record], extractor: WhisperFeatureExtractor, tmp_path: Path
) -> None:
    other = open_model(audio_folder)
    with torch.no_grad():
        other.model.audio_tower.layers[0].fc1.weight[0, 0] += 1
    one, another = (
        encode_clips(SplitEncoder(model, 1), pair[:1], extractor, tmp_path)[0]
        for model in (open_model(audio_folder), other)
    )
    assert one.features != another.features
    assert not torch.equal(one.top_features(), another.top_features())


def test_padding_keeps_the_rows_and_puts_zeros_after_them() -> None:
    rows = [torch.full((2, 3), 1.5, dtype=torch.float16), torch.full((4, 3), -2.0, dtype=torch.float16)]
    out, lengths = pad_frames(rows)
    assert out.dtype == torch.float32
    assert out[..., 0].tolist() == [[1.5, 1.5, 0, 0], [-2, -2, -2, -2]]
    assert lengths.tolist() == [2, 4]


def test_memory_holds_what_the_files_do_and_processes_make_what_one_makes(
    audio_folder: Path, pair: list[Record], extractor: WhisperFeatureExtractor, tmp_path: Path
) -> None:
    encoder = SplitEncoder(open_model(audio_folder), 1)
    rows = [pair[1], pair[0], pair[1]]
    files = encode_clips(encoder, rows, extractor, tmp_path, batch=1)
    assert len(list(tmp_path.iterdir())) == 2, "one clip twice is one file"
    for held in (
        encode_clips(encoder, rows, extractor, None, batch=1),
        encode_clips(encoder, rows, extractor, None, 1, workers=2),
    ):
        assert [clip.record for clip in held] == rows
        for mine, theirs in zip(held, files, strict=True):
            assert torch.equal(mine.lower_features(), theirs.lower_features())
            assert torch.equal(mine.top_features(), theirs.top_features())
