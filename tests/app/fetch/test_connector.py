"""From a name to a connection: what was checked is what is connected to."""

import asyncio
import socket
import time

import httpcore
import pytest

from app.core.errors import InvalidRequest
from app.fetch.connector import MAX_ADDRESSES, PinnedBackend, Resolver, resolve_public_addresses
from app.fetch.public_addresses import Address
from app.fetch.url import parse_url
from tests.app.http_origin import HOST, PUBLIC, PUBLIC_6, PUBLIC_TOO, Internet, Names, origin


def texts(addresses: list[Address]) -> list[str]:
    return [str(address) for address in addresses]


async def test_a_name_is_asked_for_once() -> None:
    names = Names(audio_example_org=[[PUBLIC, PUBLIC_6], ["127.0.0.1"]])
    assert texts(await resolve_public_addresses(parse_url(f"https://{HOST}/"), names)) == [PUBLIC, PUBLIC_6]
    assert names.asked == [HOST]


async def test_an_address_is_not_asked_for() -> None:
    names = Names()
    assert texts(await resolve_public_addresses(parse_url(f"https://{PUBLIC}/"), names)) == [PUBLIC]
    assert names.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        [],
        OSError("no such name"),
        UnicodeError("label too long"),
        ["127.0.0.1"],
        [PUBLIC, "127.0.0.1"],
        ["10.0.0.7", PUBLIC],
        [PUBLIC, PUBLIC_6, "::1"],
        [PUBLIC_6, "::ffff:169.254.169.254"],
        [PUBLIC, "fe80::1%eth0"],
        *([[PUBLIC] * MAX_ADDRESSES + ["192.168.0.1"]]),
        ["not an address"],
    ],
    ids=str,
)
async def test_one_answer_that_is_not_public_is_enough(answer: list[str] | Exception) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await resolve_public_addresses(parse_url(f"https://{HOST}/"), Names(audio_example_org=[answer]))
    assert refused.value.code == "audio_url_not_allowed"
    assert "10.0.0.7" not in refused.value.message


async def test_whether_a_name_is_there_is_not_told() -> None:
    messages = set()
    for name in (HOST, "nothing.example.org"):
        with pytest.raises(InvalidRequest) as refused:
            await resolve_public_addresses(parse_url(f"https://{name}/"), Names(audio_example_org=[["10.0.0.7"]]))
        messages.add(refused.value.message)
    assert len(messages) == 1


async def test_the_system_is_asked_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(host: str, port: None, **_: object) -> list[object]:
        time.sleep(0.3)
        return [(2, 1, 6, "", (PUBLIC, 0)), (2, 1, 6, "", (PUBLIC, 0)), (10, 1, 6, "", (PUBLIC_6, 0, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    asked = asyncio.create_task(resolver(HOST))
    ticks = 0
    while not asked.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 5, "the event loop went on"
    assert asked.result() == [PUBLIC, PUBLIC_6]
    resolver.close()
    resolver.close()


async def test_the_real_resolver_knows_this_machine_and_it_is_refused() -> None:
    resolver = Resolver()
    assert "127.0.0.1" in await resolver("localhost")
    with pytest.raises(OSError, match=r"."):
        await resolver("nothing.invalid")
    resolver.close()


async def test_the_connection_goes_to_the_address_whatever_the_name() -> None:
    async with origin() as served:
        internet = Internet(served.port)
        pinned = PinnedBackend(await resolve_public_addresses(parse_url(f"http://{PUBLIC}/"), Names()), internet)
        stream = await pinned.connect_tcp("metadata.google.internal", 80)
        await stream.aclose()
    assert internet.asked == [(PUBLIC, 80)]


async def test_the_next_address_is_tried_and_only_those() -> None:
    addresses = await resolve_public_addresses(
        parse_url(f"http://{HOST}/"), Names(audio_example_org=[[PUBLIC_6, PUBLIC]])
    )
    async with origin() as served:
        internet = Internet(served.port, dead=[PUBLIC_6])
        await (await PinnedBackend(addresses, internet).connect_tcp(HOST, 80, timeout=5)).aclose()
        assert internet.asked == [(PUBLIC_6, 80), (PUBLIC, 80)]
        internet = Internet(served.port, dead=[PUBLIC_6, PUBLIC])
        with pytest.raises(httpcore.ConnectError):
            await PinnedBackend(addresses, internet).connect_tcp(HOST, 80)
        assert internet.asked == [(PUBLIC_6, 80), (PUBLIC, 80)]


@pytest.mark.timing
async def test_all_addresses_share_the_time() -> None:
    class Silent(Internet):
        async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: object) -> object:  # noqa: ASYNC109
            self.asked.append((host, port))
            await asyncio.sleep(timeout or 0)
            raise httpcore.ConnectTimeout

    addresses = await resolve_public_addresses(
        parse_url(f"http://{HOST}/"), Names(audio_example_org=[[PUBLIC, PUBLIC_TOO]])
    )
    silent, began = Silent(0), time.perf_counter()
    with pytest.raises(httpcore.ConnectTimeout):
        await PinnedBackend(addresses, silent).connect_tcp(HOST, 80, timeout=0.4)
    assert len(silent.asked) == 2
    assert time.perf_counter() - began < 0.8
