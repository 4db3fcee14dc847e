"""Fetching: by which name a server is known."""

import asyncio

from tests.app.fetch.helpers import AUDIO, refusal, self_signed_contexts
from tests.app.http_origin import HOST, PUBLIC, Internet, Names, Way, origin, reply, way


async def test_tls_goes_by_the_name_though_the_connection_goes_to_the_address() -> None:
    server, client = self_signed_contexts(HOST)
    asked: list[str | None] = []
    server.sni_callback = lambda _, name, __: asked.append(name)
    async with origin(tls=server, wav=reply(AUDIO)) as served:
        to = way(served, tls=client)
        assert await to.fetch(f"https://{HOST}/wav") == AUDIO
        assert asked == [HOST]
        assert to.internet.asked == [(PUBLIC, 443)]
        assert served.headers()["host"] == HOST


async def test_a_certificate_for_another_name_is_refused() -> None:
    server, client = self_signed_contexts("other.example.org", PUBLIC)
    async with origin(tls=server, wav=reply(AUDIO)) as served:
        error = await refusal(way(served, tls=client), f"https://{HOST}/wav")
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "certificate" in error.message
        assert served.requests == []


async def test_a_certificate_nobody_vouches_for_is_refused() -> None:
    async with origin(tls=self_signed_contexts(HOST)[0], wav=reply(AUDIO)) as served:
        error = await refusal(way(served), f"https://{HOST}/wav")  # with the usual authorities
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "certificate" in error.message
        assert served.requests == []


async def test_http_on_an_https_port_is_a_failure_of_the_other_side() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"This port speaks no TLS."))
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        to = Way(Names(audio_example_org=[[PUBLIC]]), Internet(server.sockets[0].getsockname()[1]))
        error = await refusal(to, f"https://{HOST}/wav")
    assert (error.status, error.code) == (422, "audio_url_failed")
