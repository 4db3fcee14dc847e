import os
import subprocess
import sys
from pathlib import Path

import tools.offline_gpu

FOLDER = Path(tools.offline_gpu.__file__).parent
NEEDED = (
    "training.synth.text.__main__, training.synth.speech.speak_records, tools.offline_gpu.repeat_records, "
    "tools.offline_gpu.sample_records, tools.offline_gpu.run_summary, training.align.command, training.recipes.sft, "
    "training.recipes.distill, training.recipes.pairs, training.recipes.dpo, training.models.export"
)


def guarded(code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{FOLDER / 'guard'}:{FOLDER.parent.parent}", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_what_is_brought_or_there_is_enough_for_the_run() -> None:
    done = guarded(
        f"import {NEEDED}, gguf, torch.utils.tensorboard, transformers\n"
        "transformers.AudioFlamingo3ForConditionalGeneration, transformers.AudioFlamingo3Processor"
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_is_neither_is_not_found() -> None:
    done = guarded(
        "import importlib.util as u; print(u.find_spec('vllm'), u.find_spec('fastapi'), u.find_spec('torch'))"
    )
    assert done.stdout.startswith("None None ModuleSpec"), done.stdout + done.stderr


def test_every_package_brought_is_in_the_lock() -> None:
    lock = (FOLDER.parent.parent / "requirements" / "cpu.txt").read_text().splitlines()
    locked = {line.split("==")[0] for line in lock if "==" in line}
    for name in ("packages.txt", "packages-speech.txt"):
        wanted = {line for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#")}
        assert wanted <= locked, wanted - locked
