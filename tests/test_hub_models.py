"""Models of a hub in a real engine: `speechsum serve --model NAME` downloads a tiny checkpoint and serves it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from model_repo.hub_models import HUB_MODELS, HubModel, downloaded_folder
from tests import recordings
from tests.model_repo.hub_fixtures import hub
from tests.model_repo.hub_stand_in import HubStandIn

__all__ = ["hub"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = ROOT / "tests" / "training" / "families" / "stand_in"  # torchaudio, which Granite's processor needs
START_S = 600
# An adapter as PEFT saves it: on the projections of the queries and the values, and large enough to change the answer.
GRANITE_WITH_ADAPTER = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from tests.training.families.tiny_families import BUILDERS
folder = Path(sys.argv[1])
BUILDERS["granite_speech"](folder)
weights = load_file(folder / "model.safetensors")
index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "model.safetensors")}
(folder / "model.safetensors.index.json").write_text(json.dumps(index))
torch.manual_seed(1)
pairs = {}
for name, weight in weights.items():
    if name.startswith("language_model.") and name.endswith(("q_proj.weight", "v_proj.weight")):
        place = f"base_model.model.{name.removesuffix('.weight')}"
        pairs[f"{place}.lora_A.weight"] = torch.randn(8, weight.shape[1])
        pairs[f"{place}.lora_B.weight"] = torch.randn(weight.shape[0], 8)
assert pairs
save_file(pairs, folder / "adapter_model.safetensors")
config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}
(folder / "adapter_config.json").write_text(json.dumps(config))
"""


def tiny_files(code: str, folder: Path, environment: dict[str, str]) -> dict[str, bytes]:
    """The files of a tiny checkpoint that `code` writes into its first argument."""
    folder.mkdir()
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, env=environment)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextmanager
def serving(model: HubModel, cache: Path, log: Path, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """`speechsum serve --model` in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app", "serve", "--hub", "--model", model.name, "--port", str(port)]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=file, env=environment | {"SPEECHSUM_CACHE_DIR": str(cache)}
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
            deadline = time.monotonic() + START_S
            while not is_ready(http):
                assert process.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < deadline, log.read_text()[-4000:]
                time.sleep(0.5)
            yield http
    finally:
        process.terminate()
        process.wait(60)


def is_ready(http: httpx.Client) -> bool:
    """Whether the service answers that it is ready."""
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def summarize(http: httpx.Client) -> dict[str, str]:
    """The answer to a recording of speech."""
    answer = http.post("/v1/audio/summaries", files={"file": recordings.encode_audio(recordings.speech())})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_model_is_one_command_away(hub: HubStandIn, tmp_path: Path) -> None:
    model = HUB_MODELS["qwen2-audio"]
    write = (
        "import sys; from pathlib import Path; from tests.training.families.tiny_families import BUILDERS; "
        "BUILDERS['qwen2_audio'](Path(sys.argv[1]))"
    )
    hub.add(model, tiny_files(write, tmp_path / "tiny", dict(os.environ)))
    with serving(model, tmp_path / "cache", tmp_path / "log.txt", dict(os.environ)) as http:
        answer = summarize(http)
        assert answer["model"] == f"{model.name}@{model.version}"
        assert answer["summary"]
        cards = {card["id"]: card for card in http.get("/v1/models").json()["data"]}
        assert set(cards) >= {answer["model"]}
        assert not any(name.startswith("voxtral") for name in cards), "only what can be asked for"
    assert downloaded_folder(model, tmp_path / "cache")


def test_granites_own_adapter_is_applied_to_audio(hub: HubStandIn, tmp_path: Path) -> None:
    model = HUB_MODELS["granite-speech-2b"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(STAND_IN)])}
    files = tiny_files(GRANITE_WITH_ADAPTER, tmp_path / "tiny", environment)
    summaries = []
    for case in ("with", "without"):
        cache = tmp_path / case
        hub.add(model, files if case == "with" else {n: d for n, d in files.items() if not n.startswith("adapter_")})
        # Ahead of the start: the list has the limits of the real checkpoint, and this one is smaller.
        command = [sys.executable, "-m", "model_repo.hub_download", model.name, "--cache", str(cache)]
        subprocess.run(command, cwd=ROOT, check=True, env=environment)
        with serving(model, cache, tmp_path / f"{case}.txt", environment) as http:
            summaries.append(summarize(http)["summary"])
    assert summaries[0] != summaries[1]
