"""JSON that costs more than it says is refused before it is parsed; a recording in it is not parsed at all."""

import base64
import io
import json
import tracemalloc
from typing import Any

import pytest

from app.api import json_body
from app.api.base64_audio import decode_audio
from app.api.chat_protocol import parse_chat_request
from app.api.json_body import LONG_STRING_BYTES, JsonBody, load_json_body
from app.core.errors import InvalidRequest, ServiceError, TooLarge
from app.settings import LimitSettings
from tests.app.raw_http import CHAT
from tests.app.running_service import Site, code, serving

AUDIO = bytes(range(256)) * 1023  # a multiple of three: its base64 can be repeated


def load_json(text: bytes | str, **limits: int) -> JsonBody:
    body = text.encode() if isinstance(text, str) else text
    return load_json_body(io.BytesIO(body), LimitSettings(**limits))


def asked(content: Any, **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more}).encode()


def part(data: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data}}


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("block", [7, 64, json_body.BLOCK_BYTES])
def test_short_strings_stay_and_long_ones_go_wherever_a_block_ends(
    monkeypatch: pytest.MonkeyPatch, block: int, before: int
) -> None:
    monkeypatch.setattr(json_body, "BLOCK_BYTES", block)
    monkeypatch.setattr(json_body, "LONG_STRING_BYTES", 40)
    long, almost = "\u00e9\\" * 30, "y" * 38
    whole = {"a" * before: ['", {', "\\", "\\\\", almost, long, {"k": long + "z"}], "e": "\u00e9\\u00e9"}
    body = load_json(json.dumps(whole))
    found = json.loads(body.text)
    assert len(body.long_strings) == 2

    def back(node: Any) -> Any:
        if held := body.long_string(node):
            return json.loads(b'"' + b"".join(held.chunks()) + b'"')
        if isinstance(node, dict):
            return {name: back(child) for name, child in node.items()}
        return [back(child) for child in node] if isinstance(node, list) else node

    assert back(found) == whole


WRONG: dict[str, tuple[bytes, type[ServiceError]]] = {
    "many parts": (asked([{}] * 400_000), InvalidRequest),
    "quotation marks in a long string": (b'["' + b'\\"' * 1_000_000 + b'"]', InvalidRequest),
    "fewer parts": (asked([{}] * 30_000), InvalidRequest),
    "many messages": (b'{"messages": [' + b"{}," * 100_000 + b"{}]}", InvalidRequest),
    "many nothings": (b"[" + b"," * 500_000, InvalidRequest),
    "many keys": (json.dumps({str(n): n for n in range(50_000)}).encode(), InvalidRequest),
    "deep lists": (b"[" * 100_000 + b"]" * 100_000, InvalidRequest),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, InvalidRequest),
    "deep, and never closed": (b"[" * 100, InvalidRequest),
    "a huge integer": (asked([], seed=1)[:-1].replace(b"1", b"1" * 900_000), InvalidRequest),
    "a huge fraction": (b'{"temperature": 0.' + b"1" * 90_000 + b"}", InvalidRequest),
    "a huge exponent": (b'{"temperature": 1e' + b"1" * 90_000 + b"}", InvalidRequest),
    "much space": (b"[" + b" " * 2_000_000 + b"]", TooLarge),
    "many strings just short enough": (json.dumps(["x" * 60_000] * 40).encode(), TooLarge),
    "many long strings": (json.dumps(["x" * 70_000] * 70).encode(), TooLarge),
    "much that is no string": (b"x" * 2_000_000, TooLarge),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_costs_more_than_it_says_is_refused_unparsed(what: str) -> None:
    text, kind = WRONG[what]
    tracemalloc.start()
    try:
        with pytest.raises(kind):
            load_json(text)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_the_settings_move_the_bounds() -> None:
    assert load_json(json.dumps([1] * 30_000), json_values=40_000)
    assert load_json(b"[" + b" " * 2_000_000 + b"]", json_text_bytes=3_000_000)


def test_a_recording_is_not_among_what_is_parsed() -> None:
    data = base64.b64encode(AUDIO).decode()
    tracemalloc.start()
    file = io.BytesIO(asked([{"type": "text", "text": "Short."}, part(data * 40)]))
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    body = load_json_body(file, LimitSettings())
    request = parse_chat_request(body)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert len(body.text) < 1000
    assert peak < 3_000_000  # of 14 MB
    with decode_audio(request.encoded_recording) as audio:
        audio.seek(0)
        assert audio.read() == AUDIO * 40


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (asked([{"type": "text", "text": "x" * 70_000}]), "messages.0.content.0.text"),
        (asked("x" * 70_000), "messages.0.content"),
        (asked([part("AAAA")], model="x" * 70_000), "model"),
        (asked([part("AAAA")], user="x" * 70_000), "user"),
        (asked([part("AAAA")], metadata={"k": ["x" * 70_000]}), "metadata.k.0"),
        (asked([{**part("AAAA"), "more": "x" * 70_000}]), "messages.0.content.0.more"),
        (asked([part("AAAA")], **{"x" * 70_000: 1}), "the body"),
    ],
)
def test_a_long_string_elsewhere_is_refused_by_its_place(body: bytes, where: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_chat_request(load_json(body))
    assert error.value.message.lower().startswith(where)
    assert str(LONG_STRING_BYTES) in error.value.message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "content",
    [
        [{}] * 5000,
        [{"type": "x" * 50_000}] * 15,
        [{"type": "text", "text": 1}] * 5000,
        {"a" * 60_000: 1},
    ],
)
async def test_faults_are_told_in_a_few_words(shared: Site, content: Any) -> None:
    response = await shared.client.post(CHAT, content=asked(content))
    assert code(response) == (400, "invalid_field")
    assert len(response.content) < 3000
    many = await shared.client.post(CHAT, content=asked([{}] * 60))
    assert "more faults" in many.json()["error"]["message"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "more",
    [
        {"z" * 60_000: 1},
        {"tools": [{"name": "n" * 1000}] * 500},
        {"logit_bias": {str(n): 1 for n in range(5000)}},
        {"model": "m" * 50_000},
        {"stop": ["s"] * 10_000},
        {"response_format": {"type": "t" * 50_000}},
        {"stream_options": ["x" * 50_000]},
    ],
)
async def test_no_value_is_echoed_at_length(shared: Site, more: dict[str, Any]) -> None:
    response = await shared.client.post(CHAT, content=asked([part("AAAA")], **more))
    assert response.status_code == 400
    assert len(response.content) < 3000


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/v1/models/{}", "/v1/audio/summaries/jobs/{}", "/v1/audio/summaries?{}=1", "/{}"])
async def test_no_path_or_query_is_echoed_at_length(shared: Site, path: str) -> None:
    for method in ("GET", "POST"):
        response = await shared.client.request(method, path.format("n" * 30_000))
        assert response.status_code in (400, 404, 405)
        assert len(response.content) < 1500


async def test_an_operators_json_is_bounded_too() -> None:
    async with serving(auth={"admin_keys": ["root"]}) as site:
        site.client.headers["authorization"] = "Bearer root"
        for text in (b"[" * 5000, b'{"model": "' + b"x" * 80_000 + b'"}', b'{"urls": [' + b'"x",' * 30_000 + b'"x"]}'):
            response = await site.client.post("/v1/admin/models", content=text)
            assert response.status_code == 400
            assert len(response.content) < 3000
        assert code(await site.client.post("/v1/admin/models", content=b"x" * 2_000_000))[0] == 413
