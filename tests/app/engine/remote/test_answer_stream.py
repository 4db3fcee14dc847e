"""A server's answer: events are read in whatever pieces they come, and errors become the service's."""

import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from app.core.errors import ServiceError, TooLarge, Unavailable, Unprocessable
from app.engine.remote.answer_stream import StreamChunk, connection_error, read_chunks, status_error, stream_error

ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "prompt_token_ids": [1, 2, 3]}
END = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "token_ids": [2]}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def text(content: str) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "token_ids": [7]}]}


def stream(*events: object, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


async def read(data: bytes, size: int = 1 << 20) -> Sequence[StreamChunk]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    response = httpx.Response(200, content=pieces())
    return [chunk async for chunk in read_chunks(response, 8192)]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_events_are_read_in_whatever_pieces_they_come(size: int) -> None:
    said = stream(ROLE, text("Zürich 🚆"), END, USAGE)
    assert await read(said, size) == [
        StreamChunk(prompt_tokens=3),
        StreamChunk(text="Zürich 🚆", token_ids=(7,)),
        StreamChunk(token_ids=(2,), finish_reason="stop"),
        StreamChunk(prompt_tokens=3, completion_tokens=2),
    ]


@pytest.mark.parametrize("break_", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
async def test_what_only_unicode_calls_a_line_break_stays_in_the_text(break_: str) -> None:
    (chunk,) = await read(stream(text(f"one{break_}two")))
    assert chunk.text == f"one{break_}two"


async def test_comments_and_other_line_ends_are_passed_over() -> None:
    said = b": keep-alive\n\nevent: message\r\n" + stream(text("a")).replace(b"\n", b"\r\n") + b"data: never read\n\n"
    assert [chunk.text for chunk in await read(said)] == ["a"]


@pytest.mark.parametrize("said", [stream(ROLE, text("a"), done=False), b"", b"data: [DON"])
async def test_a_stream_that_ends_too_early_is_lost(said: bytes) -> None:
    with pytest.raises(Unavailable) as failure:
        await read(said)
    assert failure.value.code == "engine_lost"


@pytest.mark.parametrize("said", [b"data: {\n\n", b"data: []\n\n", b'data: {"choices": [{}]}\n\n', b"data: 7\n\n"])
async def test_what_is_no_event_is_an_error_that_shows_it(said: bytes) -> None:
    with pytest.raises(Unavailable, match="cannot be read") as failure:
        await read(said)
    assert failure.value.code == "engine_error"
    assert said[6:8].decode().strip() in failure.value.message


async def test_an_error_in_the_middle_ends_the_stream_with_what_it_says() -> None:
    with pytest.raises(Unavailable, match="CUDA is out of memory") as failure:
        await read(stream(ROLE, text("a"), {"error": {"message": "CUDA is out of memory", "code": 500}}, END))
    assert failure.value.code == "engine_error"


TOO_LONG = "This model's maximum context length is 8192 tokens. However, your prompt contains 9000 input tokens"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ({"message": TOO_LONG, "code": 400}, TooLarge, "context_exceeded"),
        ({"message": "bad grammar", "code": 400}, Unprocessable, "engine_refused"),
        ({"message": "Internal server error", "code": 500}, Unavailable, "engine_error"),
        ({"message": TOO_LONG, "code": 500}, Unavailable, "engine_error"),
        ("just words", Unavailable, "engine_error"),
    ],
)
def test_errors_in_the_middle(error: object, kind: type[ServiceError], code: str) -> None:
    made = stream_error(error, 8192)
    assert (type(made), made.code) == (kind, code)
    assert (error["message"] if isinstance(error, dict) else str(error)) in made.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"error": {"message": TOO_LONG}}, TooLarge, "context_exceeded"),
        (400, {"error": {"message": "no such thing"}}, Unprocessable, "engine_refused"),
        (422, {"error": {"message": "no such thing"}}, Unprocessable, "engine_refused"),
        (413, "<html>too large</html>", TooLarge, "engine_refused"),
        (401, {"error": "Unauthorized"}, Unavailable, "engine_error"),
        (404, {"error": {"message": "The model `x` does not exist."}}, Unavailable, "engine_error"),
        (429, "slow down", Unavailable, "engine_busy"),
        (503, {"error": {"message": "full"}}, Unavailable, "engine_busy"),
        (500, {"error": {"message": "EngineCore died"}}, Unavailable, "engine_error"),
    ],
)
def test_refusals(status: int, body: object, kind: type[ServiceError], code: str) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    made = status_error(status, raw.encode(), None, 8192)
    assert (type(made), made.code) == (kind, code)
    if status != 401:
        reason = body["error"]["message"] if isinstance(body, dict) else body
        assert str(reason) in made.message


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0.5", 0.5), (None, 5), ("Thu, 26 Nov 2026 00:00:00 GMT", 5)]
)
def test_a_server_without_room_says_when_to_come_back(header: str | None, seconds: float) -> None:
    assert status_error(503, b"", header, 8192).retry_after_s == seconds


def test_a_connection_that_broke_and_one_that_was_silent_are_told_apart() -> None:
    assert connection_error(httpx.RemoteProtocolError("peer closed connection")).code == "engine_lost"
    silent = connection_error(httpx.ReadTimeout(""))
    assert silent.code == "engine_silent"
    assert "SPEECHSUM_REMOTE__IDLE_SECONDS" in silent.message
