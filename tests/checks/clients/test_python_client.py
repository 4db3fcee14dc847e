"""A client that openapi-python-client generates from the document calls every kind of route, with typed bodies and
answers.
"""

import base64
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app.engine.scripted import ScriptedEngine
from app.main import create_app
from tests.app.running_service import MODEL, WaveDecoder, serving, settings_for, wav

NAME = "generated_speechsum_client"
TEXT = "A scripted summary of what was said."


@pytest.fixture(scope="module")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the generated package. The generator gave no warning."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_text(json.dumps(create_app(settings_for(), ScriptedEngine(), MODEL, WaveDecoder()).openapi()))
    (folder / "config.yml").write_text("post_hooks: []\n")
    done = subprocess.run(
        [
            sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none",
            "--output-path", str(folder / NAME), "--config", str(folder / "config.yml"), "--fail-on-warning",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def import_part(name: str) -> Any:
    """Import a module of the generated package."""
    return importlib.import_module(f"{NAME}.{name}")


async def test_every_kind_of_route_is_called(client_folder: Path) -> None:
    models, types = import_part("models"), import_part("types")
    # With a key, because a caller without one has no list of jobs.
    async with serving(auth={"keys": ["secret"]}) as site:
        client = import_part("client").AuthenticatedClient(base_url=f"http://127.0.0.1:{site.port}", token="secret")

        recording = types.File(payload=BytesIO(wav()), file_name="recording.wav", mime_type="audio/wav")
        form = models.SummaryForm(file=recording, style=models.SummaryStyle.BULLETS, length="about 60 words")
        summary = await import_part("api.summaries.create_summary").asyncio(client=client, body=form)
        assert isinstance(summary, models.SummaryResponse)
        assert (summary.summary, summary.style.length, summary.complete) == (TEXT, "60", True)
        assert summary.windows[0].end == 2.0
        raw = types.File(payload=wav())
        summary = await import_part("api.summaries.create_summary").asyncio(client=client, body=raw, tone="dry")
        assert (summary.summary, summary.style.tone) == (TEXT, "dry")

        error_response = await import_part("api.summaries.create_summary").asyncio(
            client=client, body=raw, length="endless"
        )
        assert isinstance(error_response, models.ErrorResponse)
        assert (error_response.error.param, error_response.error.code) == ("length", "invalid_field")

        sound = models.InputAudio(data=base64.b64encode(wav()).decode(), format_="wav")
        content = [
            models.InputAudioPart(type_="input_audio", input_audio=sound),
            models.TextPart(type_="text", text="In one sentence."),
        ]
        chat_request = models.ChatRequest.from_dict(
            {"model": "test-model", "messages": [{"role": "user", "content": [one.to_dict() for one in content]}]}
        )
        assert isinstance(chat_request.messages[0].content[0], models.InputAudioPart), (
            "parts are told apart by their type"
        )
        chat = await import_part("api.chat.create_chat_completion").asyncio(client=client, body=chat_request)
        assert isinstance(chat, models.ChatCompletion)
        assert chat.choices[0].message.content == TEXT
        assert chat.speechsum.audio_seconds == 2.0

        recording = types.File(payload=BytesIO(wav()), file_name="recording.wav")
        job = await import_part("api.jobs.create_job").asyncio(
            client=client, body=models.SummaryJobForm(file=recording)
        )
        assert isinstance(job, models.JobResponse)
        events = await import_part("api.jobs.watch_job").asyncio_detailed(job.id, client=client)
        assert events.content.rstrip().endswith(b"data: [DONE]")
        job = await import_part("api.jobs.get_job").asyncio(job.id, client=client)
        assert (job.state, job.summary.summary, job.error) == ("succeeded", TEXT, None)
        assert (await import_part("api.jobs.get_result").asyncio(job.id, client=client)).summary == TEXT
        job_list = await import_part("api.jobs.list_jobs").asyncio(client=client, limit=5)
        assert [one.id for one in job_list.data] == [job.id]
        assert (await import_part("api.jobs.cancel_job").asyncio(job.id, client=client)).state == "succeeded"

        catalog = await import_part("api.models.list_models").asyncio(client=client)
        assert [one.id for one in catalog.data] == ["test-model@3"]
        assert (await import_part("api.models.get_model").asyncio("test-model", client=client)).audio.max_seconds == 60
        assert (await import_part("api.operations.readyz").asyncio(client=client)).status == "ok"
        assert isinstance(await import_part("api.operations.metrics").asyncio(client=client), str)
        await client.get_async_httpx_client().aclose()
