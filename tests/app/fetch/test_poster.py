"""A caller's word leads to public addresses alone, but for hosts that the operator named."""

import pytest

from app.fetch.connector import HttpConnector
from app.fetch.poster import DeliveryFailed, Poster
from tests.app.http_origin import HOST, PUBLIC, PUBLIC_TOO, Internet, Names
from tests.app.jobs.webhook_receiver import receiving

SECONDS = 2.0


def poster(port: int, answer: list[list[str]], *known: str, dead: tuple[str, ...] = ()) -> tuple[Poster, Internet]:
    """One for whom every connection leads to a port of the loopback, and who is told these addresses in turn."""
    internet = Internet(port, dead)
    return Poster(known, SECONDS, Names(audio_example_org=answer), HttpConnector(internet)), internet


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost",
        "0.0.0.0", "169.254.169.254", "10.0.0.1", "[fe80::1]", "[::ffff:169.254.169.254]", "[", "user@example.org",
    ],
)  # fmt: skip
async def test_nothing_inside_is_connected_to(host: str) -> None:
    async with receiving() as receiver:
        with pytest.raises(DeliveryFailed):
            await Poster((), SECONDS).post(f"http://{host}:{receiver.port}/hook", b"", {})
        assert receiver.got == []


@pytest.mark.parametrize("answer", [["127.0.0.1"], [PUBLIC, "10.0.0.7"], [], [PUBLIC, "::1"], ["no address"]])
async def test_one_address_that_is_not_public_is_enough(answer: list[str]) -> None:
    out, internet = poster(1, [answer])
    with pytest.raises(DeliveryFailed, match="public"):
        await out.post(f"http://{HOST}/", b"", {})
    assert internet.asked == []


async def test_what_was_checked_is_what_is_connected_to() -> None:
    """A name that answers differently the next time is asked anew for the next connection, and refused then."""
    async with receiving() as receiver:
        out, internet = poster(receiver.port, [[PUBLIC], ["127.0.0.1"]])
        assert await out.post(f"http://{HOST}/hook", b"told", {"content-length": "4"}) == 200
        with pytest.raises(DeliveryFailed):
            await out.post(f"http://{HOST}/hook", b"told", {"content-length": "4"})
        assert [address for address, _ in internet.asked] == [PUBLIC]
        (got,) = receiver.got
        assert (got.headers["host"], got.body) == (HOST, b"told")


async def test_the_next_address_is_tried() -> None:
    async with receiving() as receiver:
        out, internet = poster(receiver.port, [[PUBLIC, PUBLIC_TOO]], dead=(PUBLIC,))
        assert await out.post(f"http://{HOST}/", b"", {}) == 200
    assert [address for address, _ in internet.asked] == [PUBLIC, PUBLIC_TOO]


async def test_a_host_that_the_operator_named_may_be_inside_and_have_one_label() -> None:
    async with receiving() as receiver:
        assert await Poster(["127.0.0.1"], SECONDS).post(receiver.url, b"", {}) == 200
        assert await Poster(["localhost"], SECONDS).post(f"http://localhost:{receiver.port}/", b"", {}) == 200
        with pytest.raises(DeliveryFailed):
            await Poster(["localhost"], SECONDS).post(receiver.url, b"", {})


async def test_a_server_that_is_not_there_is_told_of() -> None:
    async with receiving() as gone:
        pass
    with pytest.raises(DeliveryFailed, match="ConnectError"):
        await Poster(["127.0.0.1"], SECONDS).post(gone.url, b"", {})
