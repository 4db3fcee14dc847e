"""The settings that spread a model over GPUs reach vLLM's engine."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from app.engine.vllm_options import engine_arguments
from app.settings import AdapterSettings, EngineSettings


@pytest.mark.parametrize(("tensor", "data"), [(1, 1), (4, 2)])
def test_a_model_is_spread_over_gpus(tensor: int, data: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # vLLM itself takes half a minute to import, and this machine's build has no GPU to check the numbers against.
    vllm, config = ModuleType("vllm"), ModuleType("vllm.config")
    vllm.AsyncEngineArgs = SimpleNamespace  # type: ignore[attr-defined]
    config.StructuredOutputsConfig = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.config", config)
    settings = EngineSettings(tensor_parallel_size=tensor, data_parallel_size=data)  # type: ignore[call-arg]
    arguments = engine_arguments(
        tmp_path,
        4096,
        settings,
        on_cpu=False,
        audio=True,
        name="m@1",
        adapters=AdapterSettings(),  # type: ignore[call-arg]
        family=None,
    )
    assert (arguments.tensor_parallel_size, arguments.data_parallel_size) == (tensor, data)
    assert (arguments.max_model_len, arguments.dtype) == (4096, "bfloat16")
