"""Two processes for every configuration, as `accelerate launch` would start them, but for what their imports cost.

    python -m tests.training.runtime.two_process_launches PLAN.json

PLAN: {configuration file: [argument lists of `speechsum-train`, or of `copy`]}. accelerate reads the file, checks it
and makes the environment; where it would have PyTorch start new interpreters, this one, which has imported
everything, forks. What each process held of the parameters that were gathered is written to `held-RANK.json` beside
the plan, by configuration.
"""

import importlib
import json
import os
import shutil
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
import torch.distributed.run
from accelerate import PartialState
from accelerate.commands.launch import launch_command, launch_command_parser
from accelerate.utils import DistributedType

from training.__main__ import main
from training.data import answer_limit
from training.data.record import Record
from training.kd import rollout
from training.models import checkpoint
from training.recipes import (
    sft,  # noqa: F401 - imported once, for all
)
from training.runtime import distributed

COUNT = 2


def short(record: Record) -> int:
    """Instead of `answer_limit`: few tokens, and no two processes done at the same time."""
    return 3 + int(record.id.partition("-")[2])


def run_all(plan: Path) -> None:
    """Configuration after configuration. Raises where a process fails."""
    for config, commands in json.loads(plan.read_text()).items():
        torch.distributed.run.run = lambda _, c=config, todo=commands: start(Path(c).stem, todo, plan.parent)
        script = ["--num_processes", str(COUNT), "-m", "training"]
        launch_command(launch_command_parser().parse_args(["--config_file", config, *script]))


def start(name: str, commands: list[list[str]], out: Path) -> None:
    """Fork the processes and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(COUNT):
        if not (child := os.fork()):
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(COUNT)}
            os.environ |= {"LOCAL_WORLD_SIZE": str(COUNT), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            failed = 1
            try:
                one_process(name, commands, out / f"held-{rank}.json")
                failed = 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(failed)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in children]
    if any(ended):
        raise RuntimeError(f"{name}: a process failed")


def one_process(name: str, commands: list[list[str]], held: Path) -> None:
    """What one of them does."""
    if distributed.uses_fsdp():
        # accelerate has FSDP for what it takes for GPUs alone. What it calls then is PyTorch's own, which works on a
        # CPU with gloo just as well: so it is told that these are several GPUs, whose name is "cpu".
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
        PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)  # type: ignore[method-assign]
    if distributed.uses_deepspeed():
        # An all-reduce through shared memory, which it would compile first, for a minute: gloo's will do.
        importlib.import_module("deepspeed.comm.torch").build_shm_op = lambda: None  # type: ignore[attr-defined]
    gathered, seen = distributed.full_parameter, set()

    def look(parameter: Any) -> torch.Tensor:
        full = gathered(parameter)
        local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
        optimizer = "optimizer's part" if hasattr(parameter, "_hp_mapping") else "parameter"
        seen.add("part" if local.numel() < full.numel() else f"whole {optimizer}")
        return full

    checkpoint.full_parameter = look  # type: ignore[attr-defined]
    answer_limit.answer_limit = rollout.answer_limit = short  # type: ignore[attr-defined]
    # Every checkpoint is kept, so that a run can go on from one before its last.
    importlib.import_module("transformers.trainer").rotate_checkpoints = lambda **_: None  # type: ignore[attr-defined]
    for command in commands:
        if command[0] == "copy":
            if distributed.is_main_process():
                shutil.copytree(*command[1:])
            distributed.barrier()
        elif main(command):
            raise RuntimeError(f"{name}: {command}")
    before = json.loads(held.read_text()) if held.exists() else {}
    held.write_text(json.dumps(before | {name: sorted(seen)}))


if __name__ == "__main__":
    run_all(Path(sys.argv[1]))
