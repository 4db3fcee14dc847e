"""vLLM's own server, started as the recipes need it: to sample from (`--rollout`) or as a teacher (`--teacher-url`).

    speechsum-train serve --model var/aligned --port 8001 [-- --max-num-seqs 64 …]

The arguments after `--` are passed to vLLM unchanged. vLLM's development mode is on, in which every client can replace
the weights: so the server listens on this machine only, unless `--host` says otherwise. On a CPU it computes in float32
and compiles nothing, because compiled code would keep the old weights; on a GPU it computes in bfloat16.

Needs vLLM (the `gpu` or `cpu` extra), in this environment or in another one of the same machine. Knows nothing about
recipes.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch

from model_repo.families import FAMILIES

# Variables that are already set in the environment take precedence over these.
SERVER_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def server_command(options: argparse.Namespace, on_cpu: bool) -> list[str]:
    """Return the server's command line."""
    dtype = options.dtype if options.dtype != "auto" else "float32" if on_cpu else "bfloat16"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(options.model)]
    command += ["--host", options.host, "--port", str(options.port), "--dtype", dtype]
    command += ["--generation-config", "vllm"]  # without the sampling defaults of the checkpoint
    command += family_options(options.model)
    if on_cpu:
        # With chunked prefill, sampling with a seed ends the engine: "CPU Generator does not use offset" (vLLM 0.32,
        # _bookkeeping_sync in gpu_model_runner).
        command += ["--enforce-eager", "--no-enable-chunked-prefill"]
    return command + options.more


def family_options(folder: Path) -> list[str]:
    """Return the options that vLLM needs for the checkpoint's family, such as Mistral's format for Voxtral."""
    try:
        facts = FAMILIES.get(str(json.loads((folder / "config.json").read_bytes()).get("model_type")))
    except (OSError, ValueError, AttributeError):
        return []  # vLLM reports what is wrong with the folder
    arguments = facts.vllm_arguments if facts else {}
    out = []
    for name, value in arguments.items():
        out += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    return out


def server_environment(on_cpu: bool) -> dict[str, str]:
    """Return this process's environment with what the server needs."""
    return SERVER_ENVIRONMENT | (CPU_ENVIRONMENT if on_cpu else {}) | os.environ | {"VLLM_SERVER_DEV_MODE": "1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--model", type=Path, required=True, help="Assembled checkpoint, or a text model's folder.")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="Address to listen on. Every client that can reach it can change the weights.",
    )
    parser.add_argument("--port", type=int, default=8001, help="Port to listen on.")
    parser.add_argument(
        "--dtype", default="auto", help="Number format of vLLM. auto is float32 on a CPU and bfloat16 on a GPU."
    )
    parser.add_argument("more", nargs="*", metavar="-- …", help="Further options of vLLM.")


def run(options: argparse.Namespace) -> int:
    """Run the `serve` command: this process becomes the server."""
    on_cpu = not torch.cuda.is_available()
    command = server_command(options, on_cpu)
    print(" ".join(command), flush=True)
    os.execve(command[0], command, server_environment(on_cpu))
