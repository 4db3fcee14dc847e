from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny_checkpoints import noise, record
from training.models.checkpoint import add_lora, open_model
from training.models.collate import AudioCollator
from training.models.compile_layers import compile_layers
from training.models.student import open_student


def student(folder: Path) -> Any:
    torch.manual_seed(3)
    model = add_lora(open_model(folder), 4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at the start, which would hide what LoRA does
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def learn_once(model: Any, batch: dict[str, torch.Tensor]) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and every gradient."""
    loss = model(**batch).loss
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return float(loss.detach()), gradients


# torch 2.13's own compiler looks at `.grad` of tensors that are not leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor:UserWarning")
def test_compiled_layers_give_the_same_loss_and_gradients_at_any_length(
    audio_folder: Path, hears: AudioCollator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **k: compiled.append(a[0]) or real(*a, **k))
    plain, quick = student(audio_folder), student(audio_folder)
    assert compile_layers(quick) == len(compiled) == 2
    for seconds in (0.6, 1.1):
        rows = [record(i, tmp_path, noise(seconds + 0.1 * i, seed=i), f"Caller {i} asked.") for i in range(2)]
        loss, gradients = learn_once(plain, hears(rows))
        other, others = learn_once(quick, hears(rows))
        assert other == pytest.approx(loss, abs=1e-4)
        assert others.keys() == gradients.keys()
        for name, value in gradients.items():
            torch.testing.assert_close(others[name], value, atol=1e-4, rtol=1e-3)


def test_what_is_only_looked_at_stays_eager(audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise AssertionError("compiled code was run")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: refuses)
    model = student(audio_folder)
    compile_layers(model)
    ids = {"input_ids": torch.tensor([[5, 6, 7]])}
    with torch.no_grad():
        assert model(**ids).logits.isfinite().all()
    with pytest.raises(AssertionError, match="compiled code was run"):
        model(**ids)


def test_no_compiler_is_said_before_anything_is_trained(audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="C\\+\\+ compiler"):
        open_student(audio_folder, lora_rank=4, torch_compile=True)
