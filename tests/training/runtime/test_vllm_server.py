import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from training.__main__ import main
from training.runtime.vllm_server import server_command, server_environment


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process became."""
    found: list[Any] = []

    def become(*given: Any) -> None:
        found.extend(given)
        raise SystemExit

    monkeypatch.setattr(os, "execve", become)
    return found


def test_on_a_cpu_nothing_is_compiled_and_vllms_own_options_pass(
    became: list[Any], monkeypatch: pytest.MonkeyPatch, llama_folder: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    with pytest.raises(SystemExit):
        main(["serve", "--model", str(llama_folder), "--port", "8005", "--", "--max-num-seqs", "3"])
    program, made, environment = became
    line = " ".join(made)
    assert line.startswith(f"{program} -m vllm.")
    for part in (
        f"--model {llama_folder}",
        "--generation-config vllm",
        "--host 127.0.0.1",
        "--port 8005",
        "--dtype float32",
        "--enforce-eager",
        "--no-enable-chunked-prefill",
    ):
        assert part in line
    assert line.endswith("--max-num-seqs 3")
    assert environment["VLLM_SERVER_DEV_MODE"] == "1", "or it takes no weights"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "7", "what is set goes before"


def test_on_a_gpu_it_is_bfloat16_and_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)  # what is set goes before, and others set it
    options = argparse.Namespace(model=Path("here"), host="127.0.0.1", port=1, dtype="auto", more=[])
    line = " ".join(server_command(options, on_cpu=False))
    assert "--dtype bfloat16" in line
    assert "--enforce-eager" not in line
    assert "chunked" not in line
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in server_environment(on_cpu=False)
