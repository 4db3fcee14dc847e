"""Write the result of a run as JSON (commit, library versions, stages and their figures), and print a short table.

    python -m tools.offline_gpu.run_summary --work FOLDER --packed FOLDER --out table.json

Reads what the stages wrote into the work folder. A stage without an adapter has no line.
"""

import argparse
import hashlib
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from model_repo.registry import REGISTRY_ROOT

CODE_FOLDERS = ("app", "model_repo", "tools", "training")
STAGES = ("twin", "align", "sft", "teacher", "distill", "dpo", "dpo2")
VERSIONS = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")


def code_digest(root: Path) -> str:
    """Return the SHA-256 of all code files of a tree. It tells whether the code that ran is the code that was
    packed.
    """
    digest = hashlib.sha256()
    for file in sorted(
        f for name in CODE_FOLDERS for pattern in ("*.py", "*.sh") for f in (root / name).rglob(pattern)
    ):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def stage_result(folder: Path) -> dict[str, Any] | None:
    """Return the result of a stage, or None if it has no adapter: whether it finished, its last log line, losses, audio
    gains and seconds; or that its adapter was taken over (`taken`).
    """
    if not (folder / "adapter.safetensors").exists():
        return None
    out: dict[str, Any] = {"finished": (folder / "log.json").exists()}
    if out["finished"]:
        log = json.loads((folder / "log.json").read_text())
        out["last"] = log[-1]
        out["losses"] = [round(row["loss"], 4) for row in log if "loss" in row][-1:]
        if gains := [round(row["audio_gain"], 4) for row in log if "audio_gain" in row]:
            out["audio_gain"] = gains
    elif (folder / "taken").exists():
        out["taken"] = True
    if (folder / "seconds").exists():
        out["seconds"] = int((folder / "seconds").read_text())
    return out


def collect(work: Path, packed: Path) -> dict[str, Any]:
    """Return the content of the JSON file. packed: the folder with the `commit` and the `code` digest of the
    packing.
    """
    commit = (packed / "commit").read_text().strip() if (packed / "commit").exists() else None
    code = (packed / "code").read_text().strip() if (packed / "code").exists() else None
    clips = [json.loads(line) for f in sorted(work.glob("speech/*/clips.jsonl")) for line in f.read_text().splitlines()]
    return {
        "commit": commit,
        "code_as_packed": code == code_digest(REGISTRY_ROOT.parent) if code else None,
        "versions": {name: version(name) for name in VERSIONS} | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "commands": (work / "commands").read_text().splitlines() if (work / "commands").exists() else [],
        "speech": {"clips": len(clips), "hours": round(sum(clip["duration_s"] for clip in clips) / 3600, 2)},
        "stages": {name: found for name in STAGES if (found := stage_result(work / name))},
    }


def table_lines(result: dict[str, Any]) -> list[str]:
    """Return the lines of the short table."""
    speech = result["speech"]
    out = [f"{result['device']}  commit {result['commit']}  {speech['clips']} clips, {speech['hours']} h"]
    for name, found in result["stages"].items():
        gain = found.get("audio_gain", [None])[-1]
        loss = found.get("losses", [])
        state = "finished" if found["finished"] else "taken" if found.get("taken") else "cut short"
        out.append(
            f"{name:8} {state:9} {found.get('seconds', '?'):>5} s"
            + (f"  loss {loss[-1]}" if loss else "")
            + (f"  audio gain {gain:+.4f}" if gain is not None else "")
            + (f"  spikes right {found['last']['spikes_right']}" if "spikes_right" in found.get("last", {}) else "")
        )
    return out


def main(argv: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.offline_gpu.run_summary", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="folder the stages worked in")
    parser.add_argument("--packed", type=Path, required=True, help="folder with `commit` and `code`")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    options = parser.parse_args(argv)
    result = collect(options.work, options.packed)
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table_lines(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
