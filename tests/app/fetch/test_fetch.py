"""Fetching: the bytes that come, every bound on them, and every way to be led elsewhere."""

import asyncio
import gzip
import ssl
import tempfile
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.errors import ServiceError, Unavailable
from app.fetch.fetch import Fetcher
from tests.app.origin import HOST, PUBLIC, PUBLIC_6, Internet, Names, Reply, Way, full, moved, origin, reply, way
from tests.app.site import settings_for, until

AUDIO = bytes(range(256)) * 1000
BOMB = gzip.compress(bytes(50_000_000))
URL = f"http://{HOST}/wav"


async def refused(to: Way, url: str = URL, **more: Any) -> ServiceError:
    """What a fetch is refused with."""
    with pytest.raises(ServiceError) as error:
        await to.fetch(url, **more)
    assert error.value.param == "url"
    assert "secret" not in error.value.message
    return error.value


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
            error = await refused(to, url)
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
        error = await refused(to, url)
        assert (error.status, error.code) == (400, "audio_url_not_allowed")
        assert f"SPEECHSUM_FETCH__{setting}" in error.message
        assert (to.names.asked, to.internet.asked) == ([], [])


# Who leads elsewhere.

INSIDE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0.0.0.0/",
    "http://0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://localhost/",
    "http://localhost:8080/",
    "http://inside.example.org/",  # a name with a private address
    "http://mixed.example.org/",
    "http://nothing.example.org/",
    f"http://{HOST}@127.0.0.1/",
    f"http://{HOST}:80@127.0.0.1/",
    f"http://{HOST}%2f@127.0.0.1/",
    f"http://127.0.0.1\\@{HOST}/",
    f"http://{HOST}\\@127.0.0.1/",
    f"http://{HOST}#@127.0.0.1:22/",
    f"http://{HOST}:22/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/stats",
    "unix:///var/run/docker.sock",
    "data:audio/wav;base64,AAAA",
    "http:///etc/passwd",
    "//127.0.0.1/",
]
NAMES: dict[str, Any] = {
    "audio_example_org": [[PUBLIC]],
    "inside_example_org": [["10.1.2.3"]],
    "mixed_example_org": [[PUBLIC, PUBLIC_6, "127.0.0.1"]],
}


@pytest.mark.parametrize("url", INSIDE)
async def test_nothing_inside_is_fetched(url: str) -> None:
    async with origin() as served:
        to = way(served, names=Names(**NAMES))
        if url == f"http://{HOST}#@127.0.0.1:22/":  # a fragment, to every reader alike: the host is the one before it
            assert (await refused(to, url)).status == 422
            assert to.internet.asked == [(PUBLIC, 80)]
            return
        error = await refused(to, url)
        assert (error.status, error.code) in [(400, "invalid_audio_url"), (400, "audio_url_not_allowed")]
        assert to.internet.asked == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("url", [url for url in INSIDE if url.isascii() and "#" not in url])
async def test_no_redirect_leads_inside(url: str, status: str) -> None:
    async with origin(start=moved(url, status)) as served:
        to = way(served, names=Names(**NAMES))
        error = await refused(to, f"http://{HOST}/start")
        assert (error.status, error.code) == (400, "audio_url_not_allowed")
        assert "10.1.2.3" not in error.message
        assert to.internet.asked == [(PUBLIC, 80)]


async def test_a_name_that_changes_its_mind_is_not_asked_again() -> None:
    names = Names(audio_example_org=[[PUBLIC], ["127.0.0.1"]])
    async with origin(wav=reply(AUDIO)) as served:
        to = way(served, names=names)
        assert await to.fetch(URL) == AUDIO
        assert to.internet.asked == [(PUBLIC, 80)]
        assert names.asked == [HOST]
        assert (await refused(to)).code == "audio_url_not_allowed"
        assert to.internet.asked == [(PUBLIC, 80)]


async def test_a_redirect_to_the_same_name_is_checked_again() -> None:
    names = Names(audio_example_org=[[PUBLIC], ["127.0.0.1"]])
    async with origin(start=moved("/wav"), wav=reply(AUDIO)) as served:
        to = way(served, names=names)
        assert (await refused(to, f"http://{HOST}/start")).code == "audio_url_not_allowed"
        assert to.internet.asked == [(PUBLIC, 80)]


async def test_an_allowed_host_cannot_lead_off_the_list() -> None:
    names = Names(audio_example_org=[[PUBLIC]], evil_example_com=[[PUBLIC]])
    async with origin(start=moved("http://evil.example.com/wav"), wav=reply(AUDIO)) as served:
        error = await refused(way(served, names=names, fetch={"hosts": HOST}), f"http://{HOST}/start")
        assert error.code == "audio_url_not_allowed"
        assert "evil" not in error.message
        assert await way(served, names=names).fetch(f"http://{HOST}/start") == AUDIO
        assert served.headers()["host"] == "evil.example.com"


async def test_https_is_not_left_for_http_unless_that_is_allowed() -> None:
    server, client = certified(HOST)
    async with origin(tls=server, start=moved(f"http://{HOST}/wav")) as served:
        to = way(served, tls=client, fetch={"plain_http": False})
        error = await refused(to, f"https://{HOST}/start")
        assert (error.code, "PLAIN_HTTP" in error.message) == ("audio_url_not_allowed", True)


async def test_redirects_are_followed_as_often_as_set() -> None:
    chain: dict[str, Reply] = {f"hop{n}": moved(f"/hop{n + 1}") for n in range(4)}
    async with origin(**chain, hop4=reply(AUDIO)) as served:
        assert await way(served, fetch={"redirects": 4}).fetch(f"http://{HOST}/hop0") == AUDIO
        error = await refused(way(served, fetch={"redirects": 3}), f"http://{HOST}/hop0")
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "SPEECHSUM_FETCH__REDIRECTS" in error.message
        assert (await refused(way(served, fetch={"redirects": 0}), f"http://{HOST}/hop3")).code == "audio_url_failed"


async def test_a_circle_of_redirects_ends() -> None:
    async with origin(a=moved("/b"), b=moved("/a"), nowhere=moved("")) as served:
        assert (await refused(way(served), f"http://{HOST}/a")).code == "audio_url_failed"
        assert len(served.requests) == 4
        assert (await refused(way(served), f"http://{HOST}/nowhere")).code == "audio_url_failed"


# How much, and how long.


@pytest.mark.parametrize("announced", [True, False])
async def test_too_many_bytes_are_refused_and_not_read(announced: bool) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        length = str(10**12) if announced else None
        writer.write(reply(content_length=length))
        while not announced:
            writer.write(bytes(50_000))
            await writer.drain()
            sent += 50_000

    async with origin(wav=endless) as served:
        held: list[int] = []
        error = await refused(way(served, limits={"upload_bytes": 100_000}), hold=held.append)
        assert (error.status, error.code) == (413, "upload_too_large")
        assert "100000" in error.message
        assert "SPEECHSUM_LIMITS__UPLOAD_BYTES" in error.message
        assert sum(held) <= (0 if announced else 100_000)
        await until(lambda: served.open == 0)
        assert sent < 20_000_000


async def test_just_at_the_limit_is_not_too_many() -> None:
    async with origin(wav=reply(AUDIO), more=reply(AUDIO + b"\0", content_length=None)) as served:
        to = way(served, limits={"upload_bytes": len(AUDIO)})
        assert await to.fetch(URL) == AUDIO
        assert (await refused(to, f"http://{HOST}/more")).code == "upload_too_large"


@pytest.mark.parametrize(
    "answer",
    [
        reply(AUDIO, content_length=str(len(AUDIO) + 1)),  # broken off
        reply(AUDIO, content_length="-5"),
        reply(AUDIO, content_length="5, 6"),
        reply(AUDIO, content_length="many"),
        reply(b"zz\r\nno chunks\r\n", content_length=None, transfer_encoding="chunked"),
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
        b"\0",
    ],
    ids=["broken off", "negative", "two lengths", "no number", "no chunks", "nonsense", "endless head", "a null"],
)
async def test_an_answer_that_breaks_http_is_a_failure_of_the_other_side(answer: bytes) -> None:
    async with origin(wav=answer) as served:
        error = await refused(way(served))
        assert (error.status, error.code) == (422, "audio_url_failed")


async def test_more_than_announced_is_not_read() -> None:
    async with origin(wav=reply(AUDIO + b"secret", content_length=str(len(AUDIO)))) as served:
        assert await way(served).fetch(URL) == AUDIO


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_what_is_compressed_is_not_unpacked(coding: str) -> None:
    async with origin(wav=reply(BOMB, content_encoding=coding)) as served:
        tracemalloc.start()
        error = await refused(way(served))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "compressed" in error.message
        assert peak < 10_000_000


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "304 Not Modified", "404 Not Found", "500 X"]
)
async def test_another_status_is_told_and_its_body_is_not(status: str) -> None:
    body = b"" if status[:3] in ("204", "304") else b"a secret of the origin"
    async with origin(wav=reply(body, status)) as served:
        error = await refused(way(served))
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert status[:3] in error.message


@pytest.mark.parametrize("after", ["nothing", "half a head", "head", "some bytes"])
async def test_a_pause_ends_it(after: str) -> None:
    async def pausing(writer: asyncio.StreamWriter) -> None:
        whole = reply(AUDIO)
        size = {"nothing": 0, "half a head": 10, "head": len(whole) - len(AUDIO), "some bytes": len(whole) - 1000}
        writer.write(whole[: size[after]])
        await asyncio.sleep(5)

    async with origin(wav=pausing) as served:
        error = await asyncio.wait_for(refused(way(served, fetch={"idle_seconds": 0.2})), 2)
        assert (error.status, error.code) == (422, "audio_url_timeout")
        assert "SPEECHSUM_FETCH__IDLE_SECONDS" in error.message


@pytest.mark.parametrize("where", ["body", "head", "redirects"])
async def test_a_trickle_ends_too(where: str) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        whole = moved("/wav") if where == "redirects" else reply(AUDIO)
        start = whole.index(b"\r\n\r\n") + 4 if where == "body" else 0
        step = 10 if where == "redirects" else 1
        writer.write(whole[:start])
        for position in range(start, len(whole), step):
            writer.write(whole[position : position + step])
            await writer.drain()
            await asyncio.sleep(0.03)

    async with origin(wav=trickle) as served:
        given = {"idle_seconds": 0.2, "seconds": 0.6, "redirects": 1000}
        error = await asyncio.wait_for(refused(way(served, fetch=given)), 3)
        assert (error.status, error.code) == (422, "audio_url_timeout")
        assert "SPEECHSUM_FETCH__SECONDS" in error.message


async def test_the_request_s_own_time_bounds_it_too() -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with origin(wav=never) as served:
        error = await asyncio.wait_for(refused(way(served, timeouts={"request_seconds": 0.2})), 2)
        assert "SPEECHSUM_TIMEOUTS__REQUEST_SECONDS" in error.message


async def test_a_resolver_that_does_not_answer_ends_it() -> None:
    async with origin(wav=reply(AUDIO)) as served:
        to = way(served, fetch={"connect_seconds": 0.2})
        to.names.delay_s = 5
        error = await asyncio.wait_for(refused(to), 2)
        assert (error.status, error.code) == (422, "audio_url_timeout")
        assert "SPEECHSUM_FETCH__CONNECT_SECONDS" in error.message


async def test_a_host_that_does_not_answer_is_a_failure_of_the_other_side() -> None:
    async with origin(wav=reply(AUDIO)) as served:
        error = await refused(way(served, dead=[PUBLIC]))
        assert (error.status, error.code) == (422, "audio_url_failed")


async def test_no_room_is_passed_on_and_the_connection_ended() -> None:
    def full(count: int) -> None:
        raise Unavailable("No room.", code="storage_full")

    async def endless(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(50_000))
            await writer.drain()

    async with origin(wav=_then(reply(content_length=None), endless)) as served:
        with pytest.raises(Unavailable, match="No room"):
            await way(served).fetch(URL, full)
        await until(lambda: served.open == 0)


async def test_a_full_disk_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    async with origin(wav=reply(AUDIO)) as served:
        with pytest.raises(Unavailable) as error:
            await way(served).fetch(URL)
        assert error.value.code == "disk_full"


async def test_whoever_gives_up_leaves_no_connection() -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with origin(wav=_then(reply(content_length=None), never)) as served:
        task = asyncio.create_task(way(served).fetch(URL))
        await until(lambda: served.open == 1)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: served.open == 0)


def _then(first: bytes, rest: Any) -> Reply:
    async def both(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await rest(writer)

    return both


# By which name.


def certified(*names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of its own for these names, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    public = certificate.public_bytes(pem)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(public + private)
        file.flush()
        server.load_cert_chain(file.name)
    return server, ssl.create_default_context(cadata=public.decode())


async def test_tls_goes_by_the_name_though_the_connection_goes_to_the_address() -> None:
    server, client = certified(HOST)
    asked: list[str | None] = []
    server.sni_callback = lambda _, name, __: asked.append(name)
    async with origin(tls=server, wav=reply(AUDIO)) as served:
        to = way(served, tls=client)
        assert await to.fetch(f"https://{HOST}/wav") == AUDIO
        assert asked == [HOST]
        assert to.internet.asked == [(PUBLIC, 443)]
        assert served.headers()["host"] == HOST


async def test_a_certificate_for_another_name_is_refused() -> None:
    server, client = certified("other.example.org", PUBLIC)
    async with origin(tls=server, wav=reply(AUDIO)) as served:
        error = await refused(way(served, tls=client), f"https://{HOST}/wav")
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "certificate" in error.message
        assert served.requests == []


async def test_a_certificate_nobody_vouches_for_is_refused() -> None:
    async with origin(tls=certified(HOST)[0], wav=reply(AUDIO)) as served:
        error = await refused(way(served), f"https://{HOST}/wav")  # with the usual authorities
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "certificate" in error.message
        assert served.requests == []


async def test_http_on_an_https_port_is_a_failure_of_the_other_side() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"This port speaks no TLS."))
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        to = Way(Names(audio_example_org=[[PUBLIC]]), Internet(server.sockets[0].getsockname()[1]))
        error = await refused(to, f"https://{HOST}/wav")
    assert (error.status, error.code) == (422, "audio_url_failed")
