import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from app.engine.scripted import ScriptedEngine
from app.prompts import SYSTEM
from tests.app.site import serving
from tests.audio_files import speech_wav
from tests.training.tiny import noise, record
from training import systems
from training.corpus.record import Record
from training.systems import UnknownSystem, opened, system_of


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder, short = tmp_path_factory.mktemp("clips"), {"style": "headline"}
    return [record(i, folder, noise(0.5 + 0.7 * i, i), f"Caller {i} wants {i} pumps.", style=short) for i in range(3)]


@pytest.mark.parametrize("kind", ["hears", "reads"])
def test_a_checkpoint_answers_here_whatever_the_batch(
    kind: str, audio_folder: Path, llama_folder: Path, rows: list[Record]
) -> None:
    folder = {"hears": audio_folder, "reads": llama_folder}[kind]
    told = [replace(row, transcript=f"Caller {i} wants pumps.") for i, row in enumerate(rows)]
    together = system_of(f"x={kind}:{folder}", batch=3).answers(told)
    assert together == system_of(f"x={kind}:{folder}", batch=1).answers(told)
    if kind == "hears":  # the small text model says the same of everything
        assert len(set(together)) > 1, "other material, another answer"


def test_an_answer_is_cut_where_its_own_style_ends(audio_folder: Path, rows: list[Record]) -> None:
    longer = replace(rows[0], style={"style": "tldr"})
    headline, tldr = system_of(f"hears:{audio_folder}", batch=2).answers([rows[0], longer])
    assert tldr.startswith(headline[:-4]), "the same prompt, the same words"
    assert len(headline) < len(tldr), "48 tokens beside 128"


def test_the_other_architecture_is_refused(audio_folder: Path, rows: list[Record]) -> None:
    with pytest.raises(UnknownSystem, match="is audioflamingo3, not llama"):
        opened(audio_folder, "llama")
    with pytest.raises(UnknownSystem, match="is audioflamingo3, not llama"):
        system_of(f"reads:{audio_folder}").answers(rows)


async def test_a_running_service_answers_over_http(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(speech_wav())
    row = record(1, tmp_path, audio=str(tmp_path / "clip.wav"), style={"style": "bullets"})
    async with serving(ScriptedEngine(["Anna ", "called."]), real_audio=True) as site:
        system = system_of(f"tiny=service:http://127.0.0.1:{site.port}")
        assert await asyncio.to_thread(system.answers, [row, row]) == ["Anna called."] * 2
    assert (system.name, system.kind) == ("tiny", "service")


def test_the_reference_is_the_datas_own(rows: list[Record]) -> None:
    assert system_of("reference").answers(rows) == [row.summary for row in rows]


@pytest.mark.parametrize("spec", ["tiny", "tiny=hears", "x=oracle:here", "x=service:"])
def test_what_is_no_system_is_named(spec: str) -> None:
    with pytest.raises(UnknownSystem, match=spec):
        system_of(spec)


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Says back what it was asked, in OpenAI's shape."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "big", "object": "model", "created": 0, "owned_by": "x"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(asked)
        message = {"role": "assistant", "content": f" Heard: {asked['messages'][-1]['content'][:60]} "}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer({"id": "x", "object": "chat.completion", "created": 0, "model": "big", "choices": [choice]})

    def answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Endpoint.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("model", ["", "#other"])
def test_an_endpoint_reads_the_transcript_and_is_asked_greedily(endpoint: str, model: str, rows: list[Record]) -> None:
    told = [replace(row, transcript=f"Caller {i} here.") for i, row in enumerate(rows)]
    answers = system_of(f"big=endpoint:{endpoint}{model}").answers(told)
    assert [f"Caller {i} here." in answer for i, answer in enumerate(answers)] == [True] * 3
    asked = Endpoint.asked[0]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == (model[1:] or "big", 0, 48)
    assert asked["messages"][0] == {"role": "system", "content": SYSTEM}
    assert rows[0].query in asked["messages"][1]["content"]


def test_the_key_is_the_environments(endpoint: str, rows: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    seen: list[str] = []
    answer = Endpoint.answer

    def noting(self: Endpoint, body: dict[str, Any]) -> None:
        seen.append(self.headers["authorization"])
        answer(self, body)

    monkeypatch.setattr(Endpoint, "answer", noting)
    systems.asked(endpoint, "big", rows[:1], 1)
    assert seen == ["Bearer secret"]
