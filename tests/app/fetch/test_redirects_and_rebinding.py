"""Fetching: every way to be led elsewhere."""

from typing import Any

import pytest

from tests.app.fetch.helpers import AUDIO, URL, refusal, self_signed_contexts
from tests.app.http_origin import HOST, PUBLIC, PUBLIC_6, Names, Reply, origin, redirect, reply, way

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
            assert (await refusal(to, url)).status == 422
            assert to.internet.asked == [(PUBLIC, 80)]
            return
        error = await refusal(to, url)
        assert (error.status, error.code) in [(400, "invalid_audio_url"), (400, "audio_url_not_allowed")]
        assert to.internet.asked == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("url", [url for url in INSIDE if url.isascii() and "#" not in url])
async def test_no_redirect_leads_inside(url: str, status: str) -> None:
    async with origin(start=redirect(url, status)) as served:
        to = way(served, names=Names(**NAMES))
        error = await refusal(to, f"http://{HOST}/start")
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
        assert (await refusal(to)).code == "audio_url_not_allowed"
        assert to.internet.asked == [(PUBLIC, 80)]


async def test_a_redirect_to_the_same_name_is_checked_again() -> None:
    names = Names(audio_example_org=[[PUBLIC], ["127.0.0.1"]])
    async with origin(start=redirect("/wav"), wav=reply(AUDIO)) as served:
        to = way(served, names=names)
        assert (await refusal(to, f"http://{HOST}/start")).code == "audio_url_not_allowed"
        assert to.internet.asked == [(PUBLIC, 80)]


async def test_an_allowed_host_cannot_lead_off_the_list() -> None:
    names = Names(audio_example_org=[[PUBLIC]], evil_example_com=[[PUBLIC]])
    async with origin(start=redirect("http://evil.example.com/wav"), wav=reply(AUDIO)) as served:
        error = await refusal(way(served, names=names, fetch={"hosts": HOST}), f"http://{HOST}/start")
        assert error.code == "audio_url_not_allowed"
        assert "evil" not in error.message
        assert await way(served, names=names).fetch(f"http://{HOST}/start") == AUDIO
        assert served.headers()["host"] == "evil.example.com"


async def test_https_is_not_left_for_http_unless_that_is_allowed() -> None:
    server, client = self_signed_contexts(HOST)
    async with origin(tls=server, start=redirect(f"http://{HOST}/wav")) as served:
        to = way(served, tls=client, fetch={"plain_http": False})
        error = await refusal(to, f"https://{HOST}/start")
        assert (error.code, "PLAIN_HTTP" in error.message) == ("audio_url_not_allowed", True)


async def test_redirects_are_followed_as_often_as_set() -> None:
    chain: dict[str, Reply] = {f"hop{n}": redirect(f"/hop{n + 1}") for n in range(4)}
    async with origin(**chain, hop4=reply(AUDIO)) as served:
        assert await way(served, fetch={"redirects": 4}).fetch(f"http://{HOST}/hop0") == AUDIO
        error = await refusal(way(served, fetch={"redirects": 3}), f"http://{HOST}/hop0")
        assert (error.status, error.code) == (422, "audio_url_failed")
        assert "SPEECHSUM_FETCH__REDIRECTS" in error.message
        assert (await refusal(way(served, fetch={"redirects": 0}), f"http://{HOST}/hop3")).code == "audio_url_failed"


async def test_a_circle_of_redirects_ends() -> None:
    async with origin(a=redirect("/b"), b=redirect("/a"), nowhere=redirect("")) as served:
        assert (await refusal(way(served), f"http://{HOST}/a")).code == "audio_url_failed"
        assert len(served.requests) == 4
        assert (await refusal(way(served), f"http://{HOST}/nowhere")).code == "audio_url_failed"
