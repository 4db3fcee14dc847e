import os
import subprocess
from pathlib import Path

import pytest

import tools.offline_gpu

FOLDER = Path(tools.offline_gpu.__file__).parent


@pytest.mark.parametrize("script", ["pack.sh", "receive.sh", "run.sh"])
def test_the_scripts_are_bash(script: str) -> None:
    assert os.access(FOLDER / script, os.X_OK)
    assert subprocess.run(["bash", "-n", FOLDER / script], capture_output=True, text=True).stderr == ""


FAKE = """#!/bin/sh
# Stands for Python: notes what it was called with, does what the test says.
echo "$*" >> "$CALLS"
case "$*" in *"$FAILS"*) echo "something broke" >&2; exit 3;; esac
case "$*" in *"starts take"*) mkdir -p "$5"; for n in below taken; do echo $n > "$5/$n.safetensors"; done;; esac
case "$*" in *"$HANGS"*) mkdir -p "$WORK/twin"; echo half > "$WORK/twin/adapter.safetensors"; sleep 30;; esac
"""


def run(
    folder: Path, stages: str, fails: str = "never", hangs: str = "never", **more: str
) -> tuple[int, str, list[str]]:
    fake = folder / "python"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    names = {"WORK": "work", "OUT": "out", "CALLS": "calls", "GPU_HOME": "home", "PYTHON": "python"}
    environment = os.environ | {name: str(folder / path) for name, path in names.items()}
    environment |= {"STAGES": stages, "FAILS": fails, "HANGS": hangs, "TEXT_SHARDS": "2"} | more
    done = subprocess.run([FOLDER / "run.sh"], env=environment, capture_output=True, text=True, timeout=60)
    calls = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return done.returncode, done.stdout + done.stderr, calls


def test_stages_run_in_order_and_the_table_comes_last(tmp_path: Path) -> None:
    status, output, calls = run(tmp_path, "base texts")
    assert status == 0, output
    assert sorted(call.split()[1:5] for call in calls[:2]) == [
        ["training", "export", "--architecture", name] for name in ("audioflamingo3", "llama")
    ]
    assert sum("training.synth.text" in call for call in calls) == 2
    assert "tools.offline_gpu.run_summary" in calls[-1]
    assert (tmp_path / "out/logs.tar.gz").exists()


def test_a_stage_that_fails_ends_the_run_and_shows_why(tmp_path: Path) -> None:
    status, output, calls = run(tmp_path, "base texts", fails="audioflamingo3")
    assert status != 0
    assert "base: FAILED" in output
    assert "something broke" in output
    assert not any("training.synth.text" in call for call in calls)


def test_a_stage_cut_short_keeps_the_adapter_it_saved(tmp_path: Path) -> None:
    status, output, _ = run(tmp_path, "twin", hangs="--learning-rate", TWIN_S="2")
    assert status == 0, output
    assert "twin: cut short" in output
    assert (tmp_path / "out/twin.safetensors").read_text() == "half\n"


def test_speech_is_made_once_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    holder = subprocess.Popen(["flock", tmp_path / "work/speech.lock", "sleep", "30"])
    try:
        for _ in range(50):
            if subprocess.run(["flock", "-n", tmp_path / "work/speech.lock", "true"]).returncode:
                break
        status, output, calls = run(tmp_path, "speech")
        log = (tmp_path / "work/logs/speech.log").read_text()
    finally:
        holder.terminate()
        holder.wait()
    assert (status, calls) == (0, []), output
    assert "already" in log


def test_a_version_that_was_packed_stands_for_align_and_sft(tmp_path: Path) -> None:
    (tmp_path / "home/starts").mkdir(parents=True)
    (tmp_path / "home/starts/take.safetensors").write_text("whole")
    status, output, calls = run(tmp_path, "base+take teacher")
    assert status == 0, output
    assert any(call.endswith(f"--adapter {tmp_path}/work/taken/below.safetensors") for call in calls)
    assert (tmp_path / "out/sft.safetensors").read_text() == "taken\n"
    assert any(f"--start {tmp_path}/work/sft/adapter.safetensors" in call for call in calls if "training sft" in call)


def test_an_encoder_that_learns_on_begins_from_the_whole_version(tmp_path: Path) -> None:
    (tmp_path / "home/starts").mkdir(parents=True)
    (tmp_path / "home/starts/take.safetensors").write_text("whole")
    status, output, calls = run(tmp_path, "take dpo", ENCODER_RANK="64", KEEP="sft")
    assert status == 0, output
    (dpo,) = [call for call in calls if "training dpo" in call]
    assert f"--base {tmp_path}/work/audio" in dpo
    assert "--encoder-rank 64" in dpo
    assert f"--start {tmp_path}/work/sft/adapter.safetensors" in dpo
    assert (tmp_path / "out/sft.safetensors").read_text() == "whole"
