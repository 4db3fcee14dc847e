"""Recordings by URL, through the whole service: off, on, and led astray. What a fetch does is `tests.app.fetch`'s."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.app.http_origin import HOST, OPEN, PUBLIC, Names, Origin, Reply, Way, full, origin, redirect, reply, way
from tests.app.running_service import PATH, Site, code, serving, until, value, wav

CHAT = "/v1/chat/completions"
URL = f"http://{HOST}/wav"
TEXT = "A scripted summary of what was said."
NAMES: dict[str, Any] = {
    "audio_example_org": [[PUBLIC]],
    "inside_example_org": [["169.254.169.254"]],
    "mixed_example_org": [[PUBLIC, "10.0.0.1"]],
}


@asynccontextmanager
async def run_fetching_site(
    *, fetch: dict[str, Any] | None = None, names: Names | None = None, **more: Any
) -> AsyncIterator[tuple[Site, Origin, Way]]:
    """A service that fetches, the origin it fetches from, and the way between. more: what the origin answers, and the
    service's sections.
    """
    sections = {name: more.pop(name) for name in ("limits", "timeouts") if name in more}
    replies: dict[str, Reply] = {"wav": reply(wav(3)), **more}
    async with origin(**replies) as served:
        to = way(served, names=names or Names(**NAMES))
        async with serving(fetcher=to.fetcher, fetch={**OPEN, **(fetch or {})}, **sections) as site:
            yield site, served, to


def chat(url: str, **more: Any) -> dict[str, Any]:
    part = {"type": "audio_url", "audio_url": {"url": url}}
    content = [part, {"type": "text", "text": "Two bullets."}]
    return {"model": "test-model", "messages": [{"role": "user", "content": content}], **more}


async def post_form(site: Site, url: str, **fields: str) -> httpx.Response:
    return await site.client.post(PATH, files={"url": (None, url), **{name: (None, v) for name, v in fields.items()}})


async def post_query(site: Site, url: str, **fields: str) -> httpx.Response:
    return await site.client.post(PATH, params={"url": url, **fields})


async def post_chat(site: Site, url: str, **_: str) -> httpx.Response:
    return await site.client.post(CHAT, json=chat(url))


WAYS = [post_form, post_query, post_chat]


async def test_a_form_with_a_url_is_a_recording() -> None:
    async with run_fetching_site() as (site, _, to):
        response = await post_form(site, URL, style="bullets")
        assert response.status_code == 200
        answer = response.json()
        assert (answer["summary"], answer["audio_seconds"], answer["style"]["style"]) == (TEXT, 3, "bullets")
        assert to.internet.asked == [(PUBLIC, 80)]
        await site.until_idle()


async def test_a_query_with_a_url_needs_no_body() -> None:
    async with run_fetching_site() as (site, _, __):
        answer = (await post_query(site, URL, style="tldr")).json()
        assert (answer["summary"], answer["audio_seconds"], answer["style"]["style"]) == (TEXT, 3, "tldr")


async def test_a_form_takes_the_url_out_of_the_query_too() -> None:
    async with run_fetching_site() as (site, _, __):
        response = await site.client.post(PATH, files={"style": (None, "tldr")}, params={"url": URL})
        assert (response.json()["audio_seconds"], response.json()["style"]["style"]) == (3, "tldr")


async def test_a_stream_over_a_url() -> None:
    async with run_fetching_site() as (site, _, __):
        text = (await post_form(site, URL, stream="true")).text
        assert '"audio_seconds":3' in text
        assert text.rstrip().endswith("data: [DONE]")


async def test_a_chat_with_an_audio_url() -> None:
    async with run_fetching_site() as (site, _, __):
        answer = (await post_chat(site, URL)).json()
        assert answer["choices"][0]["message"]["content"] == TEXT
        assert answer["speechsum"]["audio_seconds"] == 3
        assert site.engine.requests[-1].instruction == "Two bullets."
        streamed = await site.client.post(CHAT, json=chat(URL, stream=True))
        assert streamed.text.rstrip().endswith("data: [DONE]")
        await site.until_idle()


@pytest.mark.parametrize("on", [True, False])
async def test_a_data_url_is_fetched_from_nowhere(on: bool) -> None:
    data = base64.b64encode(wav(2)).decode()
    async with run_fetching_site(fetch={"enabled": on}) as (site, _, to):
        for scheme in ("data", "DATA"):
            response = await post_chat(site, f"{scheme}:audio/wav;base64,{data}")
            assert response.json()["speechsum"]["audio_seconds"] == 2
        assert (to.names.asked, to.internet.asked) == ([], [])


@pytest.mark.parametrize("post", WAYS)
async def test_it_is_off_as_it_comes_and_says_which_setting(site: Site, post: Any) -> None:
    response = await post(site, URL)
    assert code(response) == (400, "audio_url_disabled")
    assert response.json()["error"]["param"] == "url"
    assert "SPEECHSUM_FETCH__ENABLED" in response.json()["error"]["message"]
    await site.until_idle()


ASTRAY = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://localhost/",
    "http://inside.example.org/",
    "http://mixed.example.org/",
    f"http://{HOST}@127.0.0.1/",
    f"http://{HOST}:{{port}}@127.0.0.1:{{port}}/",
    "file:///etc/passwd",
    "ftp://audio.example.org/wav",
    "gopher://127.0.0.1:6379/_FLUSHALL",
]


@pytest.mark.parametrize("url", ASTRAY)
async def test_nothing_inside_is_fetched(url: str) -> None:
    async with run_fetching_site() as (site, served, to):
        url = url.replace("{port}", str(served.port))
        served.replies["/start"] = redirect(url)
        for post in WAYS:
            response = await post(site, url)
            assert code(response) in [(400, "invalid_audio_url"), (400, "audio_url_not_allowed")]
            assert to.internet.asked == []
        for number, post in enumerate(WAYS, 1):
            response = await post(site, f"http://{HOST}/start")
            assert code(response) == (400, "audio_url_not_allowed")
            assert to.internet.asked == [(PUBLIC, 80)] * number
            assert "10.0.0.1" not in response.text
        assert site.engine.requests == []
        await site.until_idle()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_the_service_as_it_is_does_not_reach_this_machine(host: str) -> None:
    """With the real resolver and the real network, and everything allowed that a setting can allow."""
    async with origin(wav=reply(wav(3))) as served, serving(fetch={**OPEN, "ports": str(served.port)}) as site:
        response = await post_form(site, f"http://{host}:{served.port}/wav")
        assert code(response) in [(400, "invalid_audio_url"), (400, "audio_url_not_allowed")]
        assert "PORTS" not in response.text
        assert served.open == len(served.requests) == 0


async def test_a_name_that_changes_its_mind_leads_nowhere_else() -> None:
    names = Names(audio_example_org=[[PUBLIC], ["127.0.0.1"]])
    async with run_fetching_site(names=names) as (site, served, to):
        assert (await post_form(site, URL)).status_code == 200
        assert to.internet.asked == [(PUBLIC, 80)]
        assert names.asked == [HOST]
        assert code(await post_form(site, URL)) == (400, "audio_url_not_allowed")
        assert to.internet.asked == [(PUBLIC, 80)]
        assert len(served.requests) == 1


# One recording, not two, not none.


async def test_a_recording_and_a_url_are_one_too_many() -> None:
    async with run_fetching_site() as (site, served, _):
        for response in (
            await site.post(url=URL),
            await site.client.post(PATH, files={"file": wav()}, params={"url": URL}),
            await site.client.post(PATH, content=wav(), params={"url": URL}),
        ):
            assert code(response) == (400, "recording_given_twice")
            assert response.json()["error"]["param"] == "url"
        assert code(await site.client.post(PATH, files={"url": (None, URL)}, params={"url": URL})) == (
            400,
            "duplicate_field",
        )
        assert served.requests == []
        await site.until_idle()


async def test_a_body_beside_a_url_is_refused_before_its_end() -> None:
    async with run_fetching_site() as (site, _, to):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"POST {PATH}?url={URL} HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\nRIFF".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b" 400 " in head
        assert b"recording_given_twice" in await reader.read(1000)
        writer.close()
        assert to.names.asked == []
        await site.until_idle()


async def test_a_blank_url_counts_as_left_out() -> None:
    async with run_fetching_site() as (site, _, to):
        assert code(await post_form(site, " ")) == (400, "missing_file")
        assert code(await post_query(site, "")) == (400, "empty_audio")
        assert (await site.post(wav(2), url="")).json()["audio_seconds"] == 2
        assert to.internet.asked == []


async def test_a_url_as_a_file_is_not_one() -> None:
    async with run_fetching_site() as (site, _, __):
        assert code(await site.client.post(PATH, files={"url": ("url.txt", URL)})) == (400, "unknown_field")


async def test_bad_fields_are_refused_before_anything_is_fetched() -> None:
    async with run_fetching_site() as (site, served, to):
        assert code(await post_form(site, URL, style="poem")) == (400, "invalid_field")
        assert code(await post_form(site, URL, model="gpt-9")) == (404, "model_not_found")
        assert code(await site.client.post(CHAT, json=chat(URL, max_tokens=10**6))) == (400, "invalid_field")
        assert to.names.asked == served.requests == []


# What comes is a recording like any other, or is refused like any other.


@pytest.mark.parametrize("post", WAYS)
async def test_what_is_no_recording_is_refused_and_not_shown(post: Any) -> None:
    page = b"<html>a secret of the origin</html>" * 50
    async with run_fetching_site(page=reply(page), gone=reply(page, "404 Not Found"), empty=reply()) as (site, _, __):
        for name, expected in (
            ("page", (415, "unsupported_audio")),
            ("gone", (422, "audio_url_failed")),
            ("empty", (400, "empty_audio")),
        ):
            response = await post(site, f"http://{HOST}/{name}")
            assert code(response) == expected
            assert "secret" not in response.text
        await site.until_idle()


@pytest.mark.parametrize("post", WAYS)
async def test_its_size_is_bounded_like_an_upload_s(post: Any) -> None:
    async with run_fetching_site(limits={"upload_bytes": 50_000}) as (site, _, __):
        response = await post(site, URL)
        assert code(response) == (413, "upload_too_large")
        assert "SPEECHSUM_LIMITS__UPLOAD_BYTES" in response.json()["error"]["message"]
        await site.until_idle()


async def test_its_bytes_are_held_like_an_upload_s() -> None:
    async with run_fetching_site(limits={"held_bytes": len(wav(3)) + 500}) as (site, _, __):
        site.decoder.delay_s = 0.4
        first = asyncio.create_task(post_form(site, URL))
        await until(lambda: site.decoder.running == 1)
        assert site.service.admission.held_bytes >= len(wav(3))
        refused = await post_query(site, URL)
        assert code(refused) == (503, "storage_full")
        assert refused.headers["retry-after"]
        assert (await first).status_code == 200
        assert (await post_query(site, URL)).status_code == 200
        await site.until_idle()


async def test_its_time_is_bounded_and_told() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(wav(3))[:2000])
        await asyncio.sleep(5)

    async with run_fetching_site(slow=slow, fetch={"idle_seconds": 0.2}) as (site, _, __):
        response = await post_form(site, f"http://{HOST}/slow")
        assert code(response) == (422, "audio_url_timeout")
        await site.until_idle()


async def test_the_time_it_took_is_told() -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(reply(wav(3)))

    async with run_fetching_site(late=late) as (site, _, __):
        assert (await post_form(site, f"http://{HOST}/late")).json()["timings"]["receive"] >= 0.3


@pytest.mark.parametrize("path", [PATH, CHAT])
async def test_a_client_that_leaves_ends_the_fetch(path: str) -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with run_fetching_site(never=_endless(never)) as (site, served, _):
        before = value("speechsum_requests_total", outcome="aborted", kind="audio-llm")
        url = f"http://{HOST}/never"
        request = post_form(site, url) if path == PATH else post_chat(site, url)
        task = asyncio.create_task(request)
        await until(lambda: served.open == 1)
        task.cancel()
        await site.until_idle()
        await until(lambda: served.open == 0)
        assert value("speechsum_requests_total", outcome="aborted", kind="audio-llm") == before + 1


def _endless(rest: Any) -> Reply:
    async def both(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(content_length=None))
        await rest(writer)

    return both


@pytest.mark.parametrize("post", [*WAYS, "a file", "a body", "base64"])
async def test_a_full_disk_is_503_however_the_recording_came(monkeypatch: pytest.MonkeyPatch, post: Any) -> None:
    async with run_fetching_site() as (site, _, __):
        monkeypatch.setattr("tempfile.TemporaryFile", full)
        if post == "a file":
            response = await site.post()
        elif post == "a body":
            response = await site.client.post(PATH, content=wav())
        elif post == "base64":
            response = await post_chat(site, f"data:;base64,{base64.b64encode(wav()).decode()}")
        else:
            response = await post(site, URL)
        assert code(response) == (503, "disk_full")
        assert response.headers["retry-after"]
        await site.until_idle()


async def test_a_job_is_fetched_before_it_is_queued_and_keeps_no_url() -> None:
    async with run_fetching_site() as (site, served, _):
        for send in ({"files": {"url": (None, URL)}}, {"params": {"url": URL}}):
            made = await site.client.post(f"{PATH}/jobs", **send)
            assert (made.status_code, made.json()["audio_bytes"]) == (202, len(wav(3)))
            where = made.headers["location"]
            for _ in range(400):
                job = (await site.client.get(where)).json()
                if job["state"] == "succeeded":
                    break
                await asyncio.sleep(0.01)
            assert (job["summary"]["summary"], job["summary"]["audio_seconds"]) == (TEXT, 3)
        assert len(served.requests) == 2
        refused = await site.client.post(f"{PATH}/jobs", params={"url": "http://10.0.0.1/"})
        assert code(refused) == (400, "audio_url_not_allowed")
        await site.until_idle()


async def test_a_repeat_goes_by_the_url_and_not_by_what_is_behind_it() -> None:
    async with run_fetching_site(other=reply(wav(5))) as (site, served, _):
        for path in (PATH, f"{PATH}/jobs"):
            key = {"idempotency-key": path}
            first = await site.client.post(path, params={"url": URL}, headers=key)
            served.replies["/wav"] = reply(wav(4))
            again = await site.client.post(path, params={"url": URL}, headers=key)
            assert (again.status_code, again.json()) == (first.status_code, first.json())
            assert again.headers["idempotent-replayed"] == "true"
            other = await site.client.post(path, params={"url": f"http://{HOST}/other"}, headers=key)
            assert code(other) == (422, "idempotency_key_reused")
        await site.until_idle()
