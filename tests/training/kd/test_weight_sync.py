from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from model_repo.assemble import merge_adapter
from training.kd.weight_sync import write_weights
from training.models.checkpoint import LORA_SCALE, adapter_tensors, add_lora, open_model


def tensors_in(folder: Path) -> dict[str, np.ndarray]:
    return {name: value for file in sorted(folder.iterdir()) for name, value in load_file(file).items()}


def test_an_untaught_student_is_the_checkpoint_to_the_bit(audio_folder: Path, tmp_path: Path) -> None:
    write_weights(add_lora(open_model(audio_folder), 4), tmp_path, torch.float32)
    found, expected = tensors_in(tmp_path), load_file(audio_folder / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_taught_one_is_what_assembling_its_adapter_gives(audio_folder: Path, tmp_path: Path) -> None:
    model = add_lora(open_model(audio_folder), 4)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)).half())  # as adapters are kept
    before = {name: value.clone() for name, value in model.state_dict().items()}
    write_weights(model, tmp_path, torch.float32)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "the student stays"
    base = load_file(audio_folder / "model.safetensors")
    expected, found = merge_adapter(base, adapter_tensors(model), LORA_SCALE), tensors_in(tmp_path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
    moved = {name for name in base if not np.array_equal(found[name], base[name])}
    assert {name.split(".")[0] for name in moved} == {"language_model", "multi_modal_projector"}


def test_large_ones_are_many_files_that_others_may_read(audio_folder: Path, tmp_path: Path) -> None:
    model = add_lora(open_model(audio_folder), 4)
    write_weights(model, tmp_path, torch.bfloat16, shard_bytes=1 << 18)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 1
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in files)
    size = sum(file.stat().st_size for file in files)
    assert size == pytest.approx((audio_folder / "model.safetensors").stat().st_size / 2, rel=0.01)
