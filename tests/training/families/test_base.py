from pathlib import Path

import pytest
import torch

from training.families import family_by_model_type
from training.families.base import keep_in_eval_mode


def test_what_does_not_train_stays_as_it_serves() -> None:
    encoder = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.BatchNorm1d(4))
    whole = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Dropout(0.9)})
    keep_in_eval_mode(encoder)
    whole.train()
    assert whole["head"].training
    given = torch.randn(8, 4)
    torch.testing.assert_close(encoder(given), given, rtol=1e-4, atol=1e-4)
    assert torch.equal(encoder[1].running_mean, torch.zeros(4))


def test_rows_of_unlike_length_are_filled_up_with_zeros() -> None:
    family = family_by_model_type("granite_speech")
    rows = [
        {"input_features": torch.ones(1, frames, 3), "input_features_mask": torch.ones(1, frames, dtype=torch.bool)}
        for frames in (2, 5)
    ]
    joined = family.join_inputs(rows)
    assert joined["input_features"].shape == (2, 5, 3)
    assert joined["input_features"].sum((1, 2)).tolist() == [6, 15]
    assert joined["input_features"][0, 2:].abs().sum() == 0
    assert joined["input_features_mask"].sum(1).tolist() == [2, 5]


def test_windows_of_one_size_are_put_one_after_another() -> None:
    rows = [{"input_features": torch.full((windows, 2, 3), float(windows))} for windows in (1, 2)]
    assert family_by_model_type("audioflamingo3").join_inputs(rows)["input_features"][:, 0, 0].tolist() == [1, 2, 2]


def test_an_adapter_in_the_base_is_not_trained_over(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="has an adapter of its own"):
        family_by_model_type("granite_speech").open(tmp_path, torch.float32)
