import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer, WhisperFeatureExtractor

from tests.training.tiny import noise, record
from training import align
from training.align import Aligner, batch_of, clips, edit_distance, token_error, vocabulary
from training.checkpoint import open_model
from training.speech.spoken import spoken

TEXTS = ("Please call Anna.", "The pump failed on Monday.")


@pytest.fixture(scope="module")
def tokenizer(audio_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(audio_folder)


@pytest.fixture(scope="module")
def extractor(audio_folder: Path) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor.from_pretrained(audio_folder)


@pytest.fixture(scope="module")
def classes(tokenizer: Any) -> list[int]:
    return vocabulary(tokenizer, [" " + spoken(text) for text in TEXTS], 50)


@pytest.fixture
def aligner(audio_folder: Path, classes: list[int]) -> Aligner:
    model = open_model(audio_folder).eval()
    return Aligner(model, model.get_input_embeddings().weight.detach()[classes].clone(), 1.0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, classes: list[int]) -> list[align.Clip]:
    folder = tmp_path_factory.mktemp("clips")
    rows = [record(i, folder, noise(1.5 + i, seed=i), transcript=text) for i, text in enumerate(TEXTS)]
    return clips(rows, tokenizer, classes)


@torch.no_grad()
def test_frames_are_those_of_the_encoders_own_forward(
    aligner: Aligner, pair: list[align.Clip], extractor: WhisperFeatureExtractor
) -> None:
    frames, lengths = aligner.encode(*batch_of(pair, extractor))
    assert lengths.tolist() == [37, 62]
    for row, clip in enumerate(pair):
        whole = extractor(
            align.read_audio(clip.record), sampling_rate=16_000, return_attention_mask=True, return_tensors="pt"
        )
        mel, mask = whole["input_features"], whole["attention_mask"]
        exact = aligner.model.model.get_audio_features(mel, mask).pooler_output
        assert len(exact) == lengths[row]
        # A few frames beyond the end, for the convolutions, are as good as all 30 seconds.
        short, _ = aligner.encode(mel[..., : mask.sum() + 8], mask.sum(-1))
        torch.testing.assert_close(short[0, : len(exact)], exact, atol=1e-4, rtol=1e-4)
        # The longest clip of a batch ends without them: its last spectrogram frames reflect the signal where the
        # padded ones meet silence, and attention carries that, small, to every frame.
        assert (frames[row, : len(exact)] - exact).abs().max() < 0.1 * exact.abs().mean()


@torch.no_grad()
def test_a_clip_is_encoded_alike_alone_and_beside_a_longer_one(
    aligner: Aligner, pair: list[align.Clip], extractor: WhisperFeatureExtractor
) -> None:
    together, lengths = aligner.encode(*batch_of(pair, extractor))
    alone, _ = aligner.encode(*batch_of(pair[:1], extractor))
    near = int(lengths[0]) - 1
    assert (together[0, :near] - alone[0, :near]).abs().max() < 0.1 * alone.abs().mean()


def test_scores_are_the_softmax_of_distances(aligner: Aligner, classes: list[int]) -> None:
    frames = torch.randn(2, 5, aligner.embeddings.shape[1], generator=torch.Generator().manual_seed(0))
    found = aligner.log_probabilities(frames)
    squares = (frames[:, :, None] - aligner.embeddings[None, None]).square().sum(-1)
    torch.testing.assert_close(found, (-squares / 2).log_softmax(-1), atol=1e-4, rtol=1e-4)
    assert found.shape == (2, 5, len(classes))
    aligner.sharpness = 3.0
    torch.testing.assert_close(
        aligner.log_probabilities(frames), (-3 * squares / 2).log_softmax(-1), atol=1e-3, rtol=1e-4
    )
    # A frame that is a token's embedding is that token.
    spelled = aligner.log_probabilities(aligner.embeddings[None] * 1.0).argmax(-1)
    assert spelled[0].tolist() == list(range(len(classes)))


def test_decoding_takes_out_repeats_and_blanks(aligner: Aligner, monkeypatch: pytest.MonkeyPatch) -> None:
    path = [0, 3, 3, 0, 3, 5, 5, 2, 0, 0, 4, 4]
    frames = aligner.embeddings[torch.tensor([path, path])]
    monkeypatch.setattr(aligner, "encode", lambda *_: (frames, torch.tensor([12, 7])))
    assert aligner.decode(torch.zeros(1), torch.zeros(1)) == [[3, 3, 5, 2, 4], [3, 3, 5]]


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("abc", "abc", 0), ("", "ab", 2), ("abc", "ac", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)],
)
def test_edit_distance(a: str, b: str, distance: int) -> None:
    one, other = list(map(ord, a)), list(map(ord, b))
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_a_few_steps_bring_the_loss_and_the_token_error_down(
    aligner: Aligner, pair: list[align.Clip], extractor: WhisperFeatureExtractor
) -> None:
    mel, lengths = batch_of(pair, extractor)
    targets = [clip.targets for clip in pair]
    optimizer = torch.optim.AdamW(aligner.parameters(), lr=3e-3)
    losses = []
    before = token_error(aligner, pair, extractor, batch=1)
    for _ in range(200):
        loss = aligner(mel, lengths, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    assert token_error(aligner, pair, extractor, batch=1) < 0.7 < before


@torch.no_grad()
def test_the_loss_is_torchs_ctc_a_target_token(
    aligner: Aligner, pair: list[align.Clip], extractor: WhisperFeatureExtractor
) -> None:
    mel, lengths = batch_of(pair, extractor)
    total = count = 0.0
    for row, clip in enumerate(pair):
        frames, frame_lengths = aligner.encode(mel, lengths)
        scores = aligner.log_probabilities(frames[row : row + 1, : frame_lengths[row]]).transpose(0, 1)
        total += float(
            torch.nn.functional.ctc_loss(
                scores,
                torch.tensor([clip.targets]),
                frame_lengths[row : row + 1],
                torch.tensor([len(clip.targets)]),
                reduction="sum",
            )
        )
        count += len(clip.targets)
    assert float(aligner(mel, lengths, [c.targets for c in pair])) == pytest.approx(total / count, rel=1e-4)


def test_the_blank_is_first_and_frequent_tokens_follow(tokenizer: Any) -> None:
    found = vocabulary(tokenizer, [" call call  call house", " call house pump"], 3)
    assert tokenizer.convert_ids_to_tokens(found) == ["Ġ", "Ġcall", "Ġhouse"]
    assert len(vocabulary(tokenizer, [" one two three four"], 2)) == 2


def test_targets_are_the_words_as_spoken(tokenizer: Any, tmp_path: Path) -> None:
    every = vocabulary(tokenizer, [" The bill is four thousand dollars."], 50)
    (clip,) = clips([record(1, tmp_path, noise(4), transcript="The bill is $4,000.")], tokenizer, every)
    assert tokenizer.decode([every[t] for t in clip.targets]) == " The bill is four thousand dollars."


def test_clips_that_do_not_fit_are_left_out_and_counted(
    tokenizer: Any, classes: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = record(0, tmp_path, noise(2), transcript=TEXTS[0])
    rows = [
        good,
        replace(good, id="long", duration_s=30.01),
        replace(good, id="unspoken", duration_s=None),
        replace(good, id="too dense", duration_s=0.1),
        replace(good, id="other words", transcript="Zymurgy quux."),
        replace(good, id="nothing", transcript=""),
        replace(good, id="a whole window", duration_s=30.0),
    ]
    kept = clips(rows, tokenizer, classes)
    assert [clip.record.id for clip in kept] == [good.id, "a whole window"]
    assert "2 clips kept, 5 left out" in capsys.readouterr().out


def options(folder: Path, data: Path, out: Path, **changed: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    align.add_arguments(parser)
    found = parser.parse_args(["--base", str(folder), "--data", str(data), "--held", str(data), "--out", str(out)])
    return argparse.Namespace(**vars(found) | {"batch": 2, "rank": 2, "log_every": 1, "minutes": 0.02} | changed)


def test_a_short_run_writes_its_adapter_its_log_and_its_classes(audio_folder: Path, tmp_path: Path) -> None:
    rows = [record(i, tmp_path, noise(2, seed=i), transcript=text) for i, text in enumerate(TEXTS)]
    data = tmp_path / "records.jsonl"
    data.write_text("".join(row.to_json() + "\n" for row in rows))
    file = align.train(options(audio_folder, data, tmp_path / "run"))
    adapter = load_file(file)
    assert len(adapter) == 4 + 2 * 6 * 2  # projector; A and B of six projections in two layers
    base = load_file(audio_folder / "model.safetensors")
    for name in adapter:
        target = name.replace(".lora_A.", ".").replace(".lora_B.", ".")
        assert target in base, "an adapter's names are the assembled checkpoint's"
    log = json.loads((tmp_path / "run" / "log.json").read_text())
    assert log[0]["step"] == 1
    assert math.isfinite(log[0]["loss"])
    assert log[-1]["token_error"] >= 0
    tokens = AutoTokenizer.from_pretrained(audio_folder).convert_ids_to_tokens(
        json.loads((tmp_path / "run" / "classes.json").read_text())
    )
    assert tokens[0] == "Ġ"
    assert "Ġpump" in tokens


def test_a_run_without_a_clip_says_so(audio_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    data.write_text(record(1, tmp_path, noise(1), duration_s=31.0).to_json() + "\n")
    with pytest.raises(ValueError, match="no clip is left"):
        align.train(options(audio_folder, data, tmp_path / "run"))
