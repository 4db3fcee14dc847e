"""A caller's word leads to public addresses alone."""

from collections.abc import Sequence

import httpcore
import httpx
import pytest

from app.fetch.guarded import Guarded, guarded_client, resolve
from tests.app.jobs.receiver import receiving

PUBLIC = "93.184.215.14"


class Network(httpcore.AsyncNetworkBackend):
    """Notes where it is told to connect to, and connects to the loopback."""

    def __init__(self, dead: Sequence[str] = ()) -> None:
        self.asked: list[str] = []
        self.dead = dead

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # type: ignore[no-untyped-def]  # noqa: ASYNC109
        self.asked.append(host)
        if host in self.dead:
            raise httpcore.ConnectError("dead")
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", port, timeout)


def answering(*answers: list[str]):  # type: ignore[no-untyped-def]
    left = list(answers)

    async def names(_: str) -> list[str]:
        return left.pop(0)

    return names


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1", "http://127.1", "http://2130706433", "http://0x7f000001", "http://0177.0.0.1",
        "http://[::1]", "http://[::ffff:127.0.0.1]", "http://localhost", "http://0.0.0.0", "http://169.254.169.254",
        "http://10.0.0.1", "http://[fe80::1]", "http://[::ffff:169.254.169.254]",
    ],
)  # fmt: skip
async def test_nothing_inside_is_connected_to(url: str) -> None:
    async with receiving() as receiver, guarded_client(Guarded(())) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await client.post(f"{url}:{receiver.port}/hook")
        assert receiver.got == []


@pytest.mark.parametrize("answer", [["127.0.0.1"], [PUBLIC, "10.0.0.7"], [], [PUBLIC, "::1"], ["no address"]])
async def test_one_address_that_is_not_public_is_enough(answer: list[str]) -> None:
    network = Network()
    async with guarded_client(Guarded((), answering(answer), network)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post("http://example.org/")
    assert network.asked == []


async def test_what_was_checked_is_what_is_connected_to() -> None:
    """A name that answers differently the next time is asked anew for the next connection, and refused then."""
    network = Network()
    async with receiving() as receiver:
        async with guarded_client(Guarded((), answering([PUBLIC], ["127.0.0.1"]), network)) as client:
            assert (
                await client.post(f"http://example.org:{receiver.port}/hook", headers={"connection": "close"})
            ).is_success
            with pytest.raises(httpx.ConnectError):
                await client.post(f"http://example.org:{receiver.port}/hook")
        assert network.asked == [PUBLIC]
        assert receiver.got[0].headers["host"].startswith("example.org")


async def test_the_next_address_is_tried() -> None:
    network = Network(dead=["1.1.1.1"])
    client = guarded_client(Guarded((), answering(["1.1.1.1", PUBLIC]), network))
    async with receiving() as receiver, client:
        assert (await client.post(f"http://example.org:{receiver.port}/")).is_success
    assert network.asked == ["1.1.1.1", PUBLIC]


async def test_a_host_that_the_operator_trusts_may_be_inside() -> None:
    async with receiving() as receiver, guarded_client(Guarded(["127.0.0.1"])) as client:
        assert (await client.post(receiver.url)).is_success
        assert "127.0.0.1" in await resolve("localhost")
