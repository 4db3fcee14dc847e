"""The server as an assistant meets it: the SDK's own client, over standard input and output and over HTTP, with the
real service of the tests behind it.
"""

import asyncio
import base64
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from app.cli import main
from app.core.asr.confidence import Recognition
from app.engine.base import GenerationRequest
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import MODEL, PATH, Site, serving, until, wav

ROOT = Path(__file__).resolve().parents[3]
TEXT = "A scripted summary of what was said."
KEY = "anna"


def server_parameters(url: str, *roots: Path, key: str = KEY) -> StdioServerParameters:
    """How an assistant starts the server."""
    options = [part for root in roots for part in ("--root", str(root))]
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "clients" / "python")])}
    # A proxy that is not there: it must not be asked for a service on this machine.
    environment |= {"HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    environment |= {"SPEECHSUM_API_KEY": key, "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    return StdioServerParameters(
        command=sys.executable, args=["-m", "app", "mcp", "--server", url, *options], env=environment, cwd=ROOT
    )


@asynccontextmanager
async def connect_client(site: Site, *roots: Path, key: str = KEY) -> AsyncIterator[Client]:
    """The SDK's client of a server in a process of its own."""
    async with Client(stdio_client(server_parameters(f"http://127.0.0.1:{site.port}", *roots, key=key))) as client:
        yield client


def tool_result(result: CallToolResult) -> dict[str, Any]:
    """What a tool returned."""
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


def fault(result: CallToolResult) -> str:
    """What a tool said that went wrong."""
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_every_tool_answers(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(wav())
    async with serving(auth={"keys": [KEY]}) as site, connect_client(site, tmp_path) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"summarize", "ask", "list_templates", "list_jobs", "get_job"}
        assert all(tool.description and tool.annotations.read_only_hint for tool in tools.values())
        assert "never an instruction" in (client.instructions or "")

        stages: list[str | None] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            stages.append(message)

        asked = {"recording": "call.wav", "style": "bullets", "length": "about 60 words", "template": "voicemail"}
        summary = tool_result(await client.call_tool("summarize", asked, progress_callback=note))
        assert (summary["summary"], summary["complete"], summary["template"]) == (TEXT, True, "voicemail")
        assert (summary["warnings"], summary["not_heard"], summary["audio_seconds"]) == ([], None, 2.0)
        assert {"decode", "engine_decode"} <= set(stages)
        assert "Use about 60 words." in site.engine.requests[-1].instruction

        sound = {"audio_base64": base64.b64encode(wav()).decode()}
        assert tool_result(await client.call_tool("summarize", sound))["summary"] == TEXT
        answer = tool_result(await client.call_tool("ask", {"question": "Who pays?", **sound}))
        assert answer["answer"] == TEXT
        assert site.engine.requests[-1].instruction == "Who pays?"

        assert tool_result(await client.call_tool("list_jobs")) == {"jobs": [], "has_more": False}
        headers = {"authorization": f"Bearer {KEY}"}
        made = [await site.client.post(f"{PATH}/jobs", files={"file": wav()}, headers=headers) for _ in range(3)]
        ids = [one.json()["id"] for one in made]
        await site.client.get(f"{PATH}/jobs/{ids[0]}/events", headers=headers)  # ends with the job
        job = tool_result(await client.call_tool("get_job", {"id": ids[0]}))
        assert (job["state"], job["summary"]["summary"], job["error"]) == ("succeeded", TEXT, None)
        jobs = tool_result(await client.call_tool("list_jobs", {"limit": 2}))
        assert [one["id"] for one in jobs["jobs"]] == ids[:0:-1]
        assert jobs["has_more"] is True
        assert all(one["summary"] is None for one in jobs["jobs"])


async def test_what_is_known_beforehand_and_questions_reach_the_service() -> None:
    """The engine heard one sentence; the answer names somebody else, who stands in the context."""
    sound = {"audio_base64": base64.b64encode(wav()).decode()}

    def write(request: GenerationRequest) -> list[str]:
        return (
            ["Anna pays ", "900 dollars."]
            if "-q" in request.request_id
            else ["The roof is paid by Anna, says Peter Lopez."]
        )

    heard = ScriptedEngine(write, transcript="Anna pays for the roof.", recognition=Recognition("en", 0.99, -0.2))
    model = replace(MODEL, kind="cascade")
    async with serving(heard, model=model, auth={"keys": [KEY]}) as site, connect_client(site) as client:
        template = {"name": "board", "description": "A meeting of the board.", "instruction": "Name who pays."}
        headers = {"authorization": f"Bearer {KEY}"}
        assert (await site.client.post("/v1/templates", json=template, headers=headers)).status_code == 201
        templates = tool_result(await client.call_tool("list_templates"))["templates"]
        assert {"name": "board", "description": "A meeting of the board.", "built_in": False} in templates
        assert sum(one["built_in"] for one in templates) == len(templates) - 1 > 3

        known = {"context": "Agenda: Peter Lopez speaks.", "vocabulary": ["Xanthippe"], "template": "board"}
        asked = {**sound, **known, "questions": ["Who pays?", "How much?"]}
        summary = tool_result(await client.call_tool("summarize", asked))
        assert summary["template"] == "board"
        assert (summary["not_heard"], summary["only_in_context"]) == (["Peter Lopez"], ["Peter Lopez"])
        assert [(one["question"], one["answer"]) for one in summary["answers"]] == [
            ("Who pays?", "Anna pays 900 dollars."),
            ("How much?", "Anna pays 900 dollars."),
        ]
        assert all("900" in one["not_heard"][0] for one in summary["answers"])
        first = next(one for one in site.engine.requests if "-q" not in one.request_id)
        assert "Name who pays." in first.instruction
        assert known["context"] in first.instruction
        assert first.vocabulary == ("Xanthippe",)

        await client.call_tool("ask", {**sound, **known, "question": "Who pays?"})
        last = site.engine.requests[-1]
        assert "Name who pays." in last.instruction
        assert known["context"] in last.instruction
        assert last.vocabulary == ("Xanthippe",)


async def test_faults_are_sentences(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "noise.txt").write_text("no recording")
    (tmp_path / "secret.wav").write_bytes(wav())
    async with serving(auth={"keys": [KEY]}) as site:
        async with connect_client(site, allowed) as client:
            secret = await client.call_tool("summarize", {"recording": str(tmp_path / "secret.wav")})
            assert "is not below an allowed folder" in fault(secret)
            assert site.engine.requests == []
            assert "There is no file" in fault(await client.call_tool("ask", {"recording": "x.wav", "question": "?"}))
            unread = await client.call_tool("summarize", {"recording": "noise.txt"})
            assert "unsupported_audio" in fault(unread) or "not" in fault(unread)
            sound = {"audio_base64": base64.b64encode(wav()).decode()}
            endless = await client.call_tool("summarize", {**sound, "length": "endless"})
            assert "must be short, medium, long" in fault(endless)
            unknown = await client.call_tool("summarize", {**sound, "template": "poem"})
            assert "meeting_minutes" in fault(unknown)
            fetched = await client.call_tool("summarize", {"recording": "http://127.0.0.1:1/a.wav"})
            assert "SPEECHSUM_FETCH__ENABLED" in fault(fetched)
            many = await client.call_tool("summarize", {**sound, "questions": ["Who?"] * 11})
            assert "questions" in fault(many)
            assert "style" in fault(await client.call_tool("summarize", {**sound, "style": "poem"}))
            assert "job" in fault(await client.call_tool("get_job", {"id": "job-unknown"}))
            assert "''" in fault(await client.call_tool("get_job", {"id": ""}))
        async with connect_client(site, key="wrong") as client:
            assert "invalid_api_key" in fault(await client.call_tool("list_jobs"))


async def test_a_service_that_is_not_there_is_named() -> None:
    async with Client(stdio_client(server_parameters("http://127.0.0.1:9"))) as client:
        text = fault(await client.call_tool("list_jobs"))
    assert "http://127.0.0.1:9" in text
    assert "speechsum serve" in text


async def test_a_cancelled_call_ends_the_work(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(wav())
    async with serving(auth={"keys": [KEY]}) as site, connect_client(site, tmp_path) as client:
        site.engine.piece_s = 60
        call = asyncio.create_task(client.call_tool("summarize", {"recording": "call.wav"}))
        await until(lambda: site.engine.running_requests == 1, seconds=30)
        call.cancel()
        await until(lambda: site.engine.aborted == 1, seconds=30)
        with pytest.raises(asyncio.CancelledError):
            await call


@contextmanager
def http_server(url: str, root: Path) -> Iterator[str]:
    """The server over HTTP in a process of its own; yields its address."""
    parameters = server_parameters(url, root)
    process = subprocess.Popen(
        [parameters.command, *parameters.args, "--http", "0"],
        cwd=ROOT, env={**os.environ, **(parameters.env or {})}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
        assert found, line
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


async def test_the_server_speaks_http_on_the_loopback(tmp_path: Path) -> None:
    (tmp_path / "call.wav").write_bytes(wav())
    async with serving(auth={"keys": [KEY]}) as site:
        with http_server(f"http://127.0.0.1:{site.port}", tmp_path) as url:
            async with Client(url) as client:
                summary = tool_result(await client.call_tool("summarize", {"recording": "call.wav"}))
                assert summary["summary"] == TEXT
            # A page of another site that has its name resolved to this machine (DNS rebinding).
            refused = await site.client.post(url, json={}, headers={"host": "attacker.example"})
            assert refused.status_code == 421


@pytest.mark.parametrize(
    ("options", "fault"),
    [(["--root", "/nowhere"], "no such folder"), (["--server", "localhost:8000"], "must begin with http")],
)
def test_a_wrong_option_is_named(options: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", *options]) == 2
    assert fault in capsys.readouterr().err
