"""vLLM's own server, started as the recipes need it: to sample from (`--rollout`) or to read with (`--teacher-url`).

    speechsum-train serve --model var/aligned --port 8001 [-- --max-num-seqs 64 …]

What follows `--` goes to vLLM as it stands. vLLM's development mode is on, in which whoever reaches the server may give
it other weights: it listens on this machine alone unless `--host` says otherwise. On a CPU it computes in float32 and
compiles nothing, for what was compiled would keep the old weights; on a GPU in bfloat16.

Needs vLLM (the `gpu` or `cpu` extra), here or in another environment of the same machine. Knows nothing about recipes.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch

from model_repo.families import FAMILIES

# What is set in the environment already goes before these.
SERVER_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def server_command(options: argparse.Namespace, on_cpu: bool) -> list[str]:
    """The server's command line."""
    dtype = options.dtype if options.dtype != "auto" else "float32" if on_cpu else "bfloat16"
    made = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(options.model)]
    made += ["--host", options.host, "--port", str(options.port), "--dtype", dtype]
    made += ["--generation-config", "vllm"]  # no sampling defaults of the checkpoint's
    made += family_options(options.model)
    if on_cpu:
        # A prompt that is read in parts and sampled with a seed would end the engine: "CPU Generator does not use
        # offset" (vLLM 0.32, gpu_model_runner's _bookkeeping_sync).
        made += ["--enforce-eager", "--no-enable-chunked-prefill"]
    return made + options.more


def family_options(folder: Path) -> list[str]:
    """What vLLM must be told to serve a checkpoint of this family, such as Voxtral's being in Mistral's format."""
    try:
        facts = FAMILIES.get(str(json.loads((folder / "config.json").read_bytes()).get("model_type")))
    except (OSError, ValueError, AttributeError):
        return []  # vLLM says what is wrong with the folder
    given = facts.vllm_arguments if facts else {}
    out = []
    for name, value in given.items():
        out += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    return out


def server_environment(on_cpu: bool) -> dict[str, str]:
    """This process's, and what the server needs beside it."""
    return SERVER_ENVIRONMENT | (CPU_ENVIRONMENT if on_cpu else {}) | os.environ | {"VLLM_SERVER_DEV_MODE": "1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--model", type=Path, required=True, help="assembled checkpoint, or a text model's folder")
    parser.add_argument("--host", default="127.0.0.1", help="who can reach it can change its weights")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--dtype", default="auto", help="float32 on a CPU, bfloat16 on a GPU, or what vLLM takes")
    parser.add_argument("more", nargs="*", metavar="-- …", help="options of vLLM's")


def run(options: argparse.Namespace) -> int:
    """The `serve` command: becomes the server."""
    on_cpu = not torch.cuda.is_available()
    made = server_command(options, on_cpu)
    print(" ".join(made), flush=True)
    os.execve(made[0], made, server_environment(on_cpu))
