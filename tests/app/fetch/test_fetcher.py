"""Fetching: the bytes that come, and what the settings do not allow."""

import asyncio
from typing import Any

import pytest

from app.fetch.fetcher import Fetcher
from tests.app.fetch.helpers import AUDIO, URL, refusal
from tests.app.http_origin import HOST, PUBLIC, origin, reply, way
from tests.app.running_service import settings_for


async def test_what_is_there_comes_whole_and_every_piece_is_counted() -> None:
    async with origin(wav=reply(AUDIO)) as served:
        to, held = way(served), []
        assert await to.fetch(URL, held.append) == AUDIO
        assert sum(held) == len(AUDIO)
        assert to.internet.asked == [(PUBLIC, 80)]
        assert to.names.asked == [HOST]


async def test_the_request_is_bare() -> None:
    async with origin(**{"wav?a=b%20c": reply(AUDIO)}) as served:
        await way(served).fetch(f"http://{HOST}:8080/wav?a=b%20c#part")
        assert served.requests[0].startswith("GET /wav?a=b%20c HTTP/1.1\r\n")
        headers = served.headers()
        assert set(headers) == {"host", "user-agent", "accept", "accept-encoding"}
        assert headers["host"] == f"{HOST}:8080"
        assert headers["accept-encoding"] == "identity"


async def test_chunks_and_a_body_without_a_length_are_read_to_their_end() -> None:
    async def chunks(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(content_length=None, transfer_encoding="chunked"))
        for start in range(0, len(AUDIO), 7000):
            part = AUDIO[start : start + 7000]
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with origin(chunks=chunks, bare=reply(AUDIO, content_length=None)) as served:
        assert await way(served).fetch(f"http://{HOST}/chunks") == AUDIO
        assert await way(served).fetch(f"http://{HOST}/bare") == AUDIO


async def test_no_environment_puts_a_proxy_between(monkeypatch: pytest.MonkeyPatch) -> None:
    async with origin(wav=reply(AUDIO)) as served, origin() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await way(served).fetch(URL) == AUDIO
        assert proxy.requests == []


async def test_cookies_are_not_carried_over_a_redirect() -> None:
    async with origin(start=reply(status="302 Found", location="/wav", set_cookie="a=b"), wav=reply(AUDIO)) as served:
        assert await way(served).fetch(f"http://{HOST}/start") == AUDIO
        assert set(served.headers()) == {"host", "user-agent", "accept", "accept-encoding"}


# What may be fetched.


async def test_off_means_off() -> None:
    async with origin(wav=reply(AUDIO)) as served:
        to = way(served, fetch={"enabled": False})
        for url in (URL, "file:///etc/passwd", "nonsense"):
            error = await refusal(to, url)
            assert (error.status, error.code) == (400, "audio_url_disabled")
            assert "SPEECHSUM_FETCH__ENABLED" in error.message
        assert (to.names.asked, to.internet.asked) == ([], [])


def test_it_is_off_as_it_comes() -> None:
    assert settings_for().fetch.enabled is False


@pytest.mark.parametrize("hosts", ["", "*.org", "https://audio.example.org"])
def test_on_without_a_host_does_not_start(hosts: str) -> None:
    settings = settings_for(fetch={"enabled": True, "hosts": hosts})
    with pytest.raises(ValueError, match="SPEECHSUM_FETCH__HOSTS"):
        Fetcher(settings)


@pytest.mark.parametrize(
    ("given", "url", "setting"),
    [
        ({"plain_http": False}, URL, "PLAIN_HTTP"),
        ({"ports": "443"}, URL, "PORTS"),
        ({}, f"http://{HOST}:22/", "PORTS"),
        ({"hosts": "other.example.org"}, URL, "HOSTS"),
        ({"hosts": "*.audio.example.org"}, URL, "HOSTS"),
        ({"hosts": HOST}, f"http://{PUBLIC}/", "HOSTS"),
    ],
)
async def test_what_the_settings_do_not_allow_is_not_even_looked_up(
    given: dict[str, Any], url: str, setting: str
) -> None:
    async with origin(wav=reply(AUDIO)) as served:
        to = way(served, fetch=given)
        error = await refusal(to, url)
        assert (error.status, error.code) == (400, "audio_url_not_allowed")
        assert f"SPEECHSUM_FETCH__{setting}" in error.message
        assert (to.names.asked, to.internet.asked) == ([], [])
