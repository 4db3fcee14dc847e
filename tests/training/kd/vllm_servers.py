"""A real vLLM server as `speechsum-train serve` starts it, and a stand-in for one that samples a student's answers."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor

from tests.training.tiny_checkpoints import RATE
from training.models.checkpoint import open_model

STARTS_WITHIN_S = 600


SMALL = ("--max-model-len", "2048", "--max-num-seqs", "4")


@contextmanager
def vllm_server(folder: Path, log: Path, options: Sequence[str] = SMALL) -> Iterator[str]:
    """The address of one that serves the folder. options: vLLM's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "training", "serve", "--model", str(folder), "--port", str(port)]
    command += ["--", *options]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < until:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


class Sampling:
    """What a vLLM server does for a rollout, by Transformers and greedily, one request at a time.

    asked: bodies of the chat requests. loaded: how often weights came. refuses: status to answer a path with. wrong:
    what goes over a chat answer.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.scratch = scratch
        shutil.copytree(folder, scratch)
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = open_model(folder).eval()
        self.lock = threading.Lock()
        self.asked: list[dict[str, Any]] = []
        self.loaded = 0
        self.forgets = True
        self.refuses: dict[str, int] = {}
        self.wrong: dict[str, Any] = {}

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path in self.refuses:
            return self.refuses[path], {"error": "no"}
        if path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            return 200, {"results": [self.load(Path(body["kwargs"]["weights_path"]))]}
        if path == "/reset_prefix_cache":
            return 200, {"success": self.forgets}
        if path == "/reset_encoder_cache":
            return 200, None
        assert path == "/v1/chat/completions"
        with self.lock:
            self.asked.append(body)
            return 200, self.chat(body) | self.wrong

    def load(self, folder: Path) -> None:
        """A whole checkpoint, or `open_model` would not have it."""
        self.loaded += 1
        tensors = {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}
        save_file(tensors, self.scratch / "model.safetensors", metadata={"format": "pt"})
        self.model = open_model(self.scratch).eval()

    @torch.no_grad()
    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        (part,) = (p for m in body["messages"] for p in m["content"] if p["type"] == "input_audio")
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])), dtype="float32")
        assert rate == RATE
        prompt = self.processor.apply_chat_template(
            [
                m | {"content": [{"type": "audio"} if p["type"] == "input_audio" else p for p in m["content"]]}
                for m in body["messages"]
            ],
            tokenize=False,
            add_generation_prompt=True,
        )
        given = self.processor(text=[prompt], audio=[samples])
        (end,) = body["stop_token_ids"]
        made = self.model.generate(
            **given,
            do_sample=False,
            max_new_tokens=body["max_completion_tokens"],
            suppress_tokens=[int(token) for token, bias in body["logit_bias"].items() if bias == -100] or None,
            eos_token_id=end,
            output_logits=True,
            return_dict_in_generate=True,
        )
        asked = given["input_ids"][0].tolist()
        ids = made.sequences[0, len(asked) :].tolist()
        likely = [float(logits[0].log_softmax(-1)[token]) for logits, token in zip(made.logits, ids, strict=True)]
        choice = {"token_ids": ids, "logprobs": {"content": [{"logprob": value} for value in likely]}}
        return {"prompt_token_ids": asked, "choices": [choice]}


@contextmanager
def sampling_stand_in(folder: Path, scratch: Path) -> Iterator[tuple[str, Sampling]]:
    """The address of a stand-in for a server of the folder, and what it does. scratch: a folder that is not there."""
    behind = Sampling(folder, scratch)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, {"data": [{"id": "student"}]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.answer(*behind.post(self.path, json.loads(body or b"{}")))

        def answer(self, status: int, body: Any) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", behind
    finally:
        server.shutdown()
        server.server_close()
