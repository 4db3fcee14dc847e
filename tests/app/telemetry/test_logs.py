"""The JSON log: what a line says of a request, and that nothing of what a caller sent is in any line."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.engine.scripted import ScriptedEngine
from app.telemetry.logs import VLLM_LOGGING_FILE, VLLM_LOGGING_VARIABLE, JsonLogFormatter
from app.telemetry.request_record import RequestRecord, record_request
from tests.app.running_service import MODEL, PATH, Site, serving, wav
from tests.deploy.dashboard import ROOT

KEY = "sk-KEYSECRET-4711"
# What is confidential, by where it was sent or came from. Each is a word that nothing else contains.
SENTINELS = {
    "key": "KEYSECRET",
    "wrong key": "WRONGSECRET",
    "file name": "FILENAMESECRET",
    "focus": "FOCUSSECRET",
    "query": "QUERYSECRET",
    "url": "URLSECRET",
    "vocabulary": "TERMSECRET",
    "transcript": "HEARDSECRET",
    "summary": "WRITTENSECRET",
    "exception": "THROWNSECRET",
}


class JsonLines:
    """The lines that were logged as JSON."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def requests(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line["message"] == "request"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[JsonLines]:
    found = JsonLines()
    handler = logging.StreamHandler(found.stream)
    handler.setFormatter(JsonLogFormatter())
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.INFO)
    monkeypatch.setattr(logging.getLogger("httpx"), "level", logging.WARNING)  # the test's own client
    root.addHandler(handler)
    yield found
    root.removeHandler(handler)


async def send_secrets(site: Site, lines: JsonLines) -> None:
    """Requests of each kind with something confidential wherever a caller can put it, also where it fails."""
    form = {"file": (f"{SENTINELS['file name']}.wav", wav())}
    texts = {"focus": SENTINELS["focus"], "vocabulary": SENTINELS["vocabulary"], "transcript": "text"}
    for stream in ("false", "true"):
        assert (await site.client.post(PATH, files=form, data=texts | {"stream": stream})).status_code == 200
    raw = f"{PATH}?focus={SENTINELS['query']}"
    assert (await site.client.post(raw, content=wav(), headers={"content-type": "audio/wav"})).status_code == 200
    address = {"url": f"https://{SENTINELS['url']}.example/"}
    assert (await site.client.post(PATH, params=address)).status_code == 400
    bearer = {"authorization": f"Bearer {SENTINELS['wrong key']}"}
    assert (await site.client.post(PATH, files=form, headers=bearer)).status_code == 401
    assert (await site.client.get(f"/v1/recordings/rec-{'0123456789abcdef' * 2}")).status_code == 404
    site.engine.error = ZeroDivisionError(SENTINELS["exception"])
    for stream in ("false", "true"):
        await site.client.post(PATH, files=form, data=texts | {"stream": stream})
    await site.until_idle()


async def test_no_line_holds_what_a_caller_sent_or_got(lines: JsonLines) -> None:
    engine = ScriptedEngine([f"{SENTINELS['summary']} "], transcript=f"Somebody said {SENTINELS['transcript']}.")
    model = MODEL.__class__(**{**vars(MODEL), "kind": "cascade"})
    async with serving(engine, model=model, log_format="json", auth={"keys": [KEY]}) as site:
        site.client.headers["authorization"] = f"Bearer {KEY}"
        await send_secrets(site, lines)
    for place, word in SENTINELS.items():
        assert word not in lines.text, place
        assert word.lower() not in lines.text.lower(), place
    assert "0123456789abcdef" not in lines.text
    assert "ZeroDivisionError at " in lines.text
    assert "scripted.py" in lines.text  # where it was thrown


async def test_a_line_tells_the_request(lines: JsonLines) -> None:
    async with serving(log_format="json", auth={"keys": [KEY]}) as site:
        site.client.headers["authorization"] = f"Bearer {KEY}"
        assert (await site.post(wav(3), headers={"x-request-id": "mine-1"}, stream="true")).status_code == 200
        assert (await site.post(style="poem")).status_code == 400
        assert (await site.client.get("/readyz")).status_code == 200
        assert (await site.client.put("/v1/audio/summaries/recording.wav", content=wav())).status_code == 200
        assert (await site.client.get("/nowhere/SECRET")).status_code == 404
    done, refused, put, lost = lines.requests()
    assert done | {"time": "", "duration_seconds": 0, "key": ""} == {
        "level": "INFO",
        "logger": "app.api.middleware.observe",
        "message": "request",
        "time": "",
        "method": "POST",
        "route": PATH,
        "status": 200,
        "duration_seconds": 0,
        "request_id": "mine-1",
        "key": "",
        "model": MODEL.id,
        "outcome": "ok",
        "audio_seconds": 3.0,
    }
    assert 0 < done["duration_seconds"] < 60
    assert done["key"].startswith("settings-")
    assert (refused["status"], refused["outcome"], refused["error"]) == (400, "refused", "invalid_field")
    assert refused["request_id"].startswith("req_")
    assert (put["method"], put["route"]) == ("PUT", PATH)
    assert lost["route"] == "unknown"


def test_a_message_names_its_request_and_no_id_that_gives_access(lines: JsonLines) -> None:
    log = logging.getLogger("some.module")
    with record_request(RequestRecord(request_id="req_1", key="phones")):
        log.warning("The job %s failed.", "job-0123456789abcdef0123456789abcdef")
    log.warning("Nobody's message")
    first, second = (json.loads(line) for line in lines.text.splitlines())
    assert first["message"] == "The job job-01234567… failed."
    assert (first["request_id"], first["key"], first["level"]) == ("req_1", "phones", "WARNING")
    assert "request_id" not in second


def test_an_exception_is_logged_with_its_causes_and_without_their_messages(lines: JsonLines) -> None:
    def fail() -> None:
        try:
            raise KeyError("SECRET")
        except KeyError as error:
            raise ValueError("SECRET") from error

    try:
        fail()
    except ValueError:
        logging.getLogger("some.module").exception("It failed.")
    line = json.loads(lines.text)
    assert "SECRET" not in lines.text
    assert line["exception"].startswith("builtins.ValueError at app/telemetry/test_logs.py:")
    assert " caused by builtins.KeyError at " in line["exception"]


def test_serve_logs_json_alone(tmp_path: Any) -> None:
    environment = {**os.environ, "SPEECHSUM_LOG_FORMAT": "json", "SPEECHSUM_JOBS__FOLDER": str(tmp_path)}
    command = [sys.executable, "-m", "app", "serve", "--model", "scripted", "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        messages = []
        for line in process.stdout:
            messages.append(json.loads(line)["message"])
            if messages[-1] == "Ready.":
                process.terminate()
        assert process.wait(30) == 0
    assert "Ready." in messages


def test_vllm_logs_as_the_service_does() -> None:
    code = (
        "import json, logging.config, os\n"
        f"logging.config.dictConfig(json.load(open(os.environ['{VLLM_LOGGING_VARIABLE}'])))\n"
        "logging.getLogger('vllm.engine').info('Loaded.')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, VLLM_LOGGING_VARIABLE: str(VLLM_LOGGING_FILE)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stderr)["message"] == "Loaded."


def test_fields_that_libraries_add_are_left_out(lines: JsonLines) -> None:
    logging.getLogger("a.library").info("Started", extra={"color_message": "SECRET", "status": 200})
    assert json.loads(lines.text).keys() == {"level", "logger", "message", "time", "status"}


def test_no_level_makes_libraries_log_what_they_store_or_send() -> None:
    code = (
        "import logging, sqlalchemy, sqlalchemy.ext.asyncio\n"
        "from app.telemetry.logs import configure_log\n"
        "configure_log('debug', 'text')\n"
        "for name in ('aiosqlite', 'httpcore.http11', 'python_multipart.multipart'):\n"
        "    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG), name\n"
        "assert not logging.getLogger('sqlalchemy.engine.Engine').isEnabledFor(logging.INFO)\n"
        "assert logging.getLogger('app').isEnabledFor(logging.DEBUG)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=True)
