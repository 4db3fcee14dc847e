"""HEAD where GET is, and recordings with PUT, as `curl -T` sends them."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.app.running_service import PATH, Site, code, wav

JOBS = f"{PATH}/jobs"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/v1/models", "/v1/models/test-model", "/metrics", "/docs", "/openapi.json", JOBS, "/"],
)
async def test_head_is_get_without_a_body(shared: Site, path: str) -> None:
    head, get = await shared.client.head(path), await shared.client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["x-request-id"]
    if path != "/metrics":  # its text grows with each request
        assert head.headers.get("content-length") == get.headers.get("content-length")
    assert head.headers.get("content-type") == get.headers.get("content-type")


@pytest.mark.asyncio(loop_scope="module")
async def test_head_of_what_is_not_there_or_cannot_be_got(shared: Site) -> None:
    assert (await shared.client.head("/v1/models/nobody")).status_code == 404
    assert (await shared.client.head("/nothing")).status_code == 404
    refused = await shared.client.head("/v1/chat/completions")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


async def test_head_of_a_stream_of_events_does_not_follow_it(site: Site) -> None:
    site.decoder.delay_s = 30
    job = (await site.client.post(JOBS, files={"file": wav()})).json()["id"]
    async with asyncio.timeout(3):
        head = await site.client.head(f"{JOBS}/{job}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    await site.client.post(f"{JOBS}/{job}/cancel")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}/my%20talk.wav"])
async def test_a_recording_may_be_put(shared: Site, path: str) -> None:
    answer = (await shared.client.put(path, content=wav(), params={"style": "tldr"})).json()
    assert (answer["object"], answer["audio_seconds"]) == ("audio.summary", 2.0)
    form = await shared.client.put(path, files={"file": wav()})
    assert form.status_code == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_a_job_may_be_put(shared: Site) -> None:
    for path in (JOBS, f"{JOBS}/talk.wav"):
        assert (await shared.client.put(path, content=wav())).status_code == 202
    for path in ("/v1/chat/completions", "/v1/models", f"{PATH}/a/b"):
        assert code(await shared.client.put(path, content=wav()))[0] in (404, 405)


@pytest.mark.asyncio(loop_scope="module")
async def test_curl_sends_a_file_with_t(shared: Site, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl, "curl is what many try a service with first"
    (tmp_path / "talk.wav").write_bytes(wav(60))
    base = f"http://127.0.0.1:{shared.port}{PATH}"
    for address, more in ((base, []), (f"{base}/", []), (base, ["-H", "Transfer-Encoding: chunked"])):
        process = await asyncio.create_subprocess_exec(
            curl, "-sS", "-T", tmp_path / "talk.wav", *more, address, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        assert b'"audio.summary"' in said
    process = await asyncio.create_subprocess_exec(
        curl, "-sS", "-T", "-", base, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(wav(3))
    assert b'"audio_seconds":3.0' in said
