"""The real `openai` package as a client, sync and async: it is used as its documentation says, and gets along."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest

from app.core import prompts
from app.core.errors import Unavailable, Unprocessable
from app.core.prompts import Style
from app.engine.base import GenerationRequest
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import Site, code, serving, value, wav

PATH = "/v1/chat/completions"
TEXT = "A scripted summary of what was said."


def part(audio: bytes | None = None) -> dict[str, Any]:
    data = base64.b64encode(wav() if audio is None else audio).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def url_part(url: str) -> dict[str, Any]:
    return {"type": "audio_url", "audio_url": {"url": url}}


def messages(*parts: dict[str, Any], text: str = "Three bullets, in German.") -> list[Any]:
    return [{"role": "user", "content": [*(parts or (part(),)), {"type": "text", "text": text}]}]


def client(site: Site, **more: Any) -> openai.AsyncOpenAI:
    given = {"api_key": "none", "max_retries": 0, **more}
    made = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{site.port}/v1", **given)
    site.closed_with_it.append(made)
    return made


async def ask(site: Site, options: dict[str, Any] | None = None, **more: Any) -> Any:
    """Return the answer; for a stream, the list of its chunks. options: of the client."""
    async with client(site, **(options or {})) as openai_client:
        answer = await openai_client.chat.completions.create(**{"model": "test-model", "messages": messages(), **more})
        return [chunk async for chunk in answer] if more.get("stream") else answer


async def test_a_recording_is_summarized_as_the_texts_say(site: Site) -> None:
    before = [{"role": "system", "content": "You are terse."}, {"role": "developer", "content": "Name every ship."}]
    answer = await ask(site, messages=before + messages())
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "test-model@3"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop")
    assert answer.usage.completion_tokens == 7
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 7
    assert site.engine.requests[-1].instruction == "You are terse.\nName every ship.\nThree bullets, in German."
    assert site.engine.requests[-1].samples is not None
    ours = answer.model_extra["speechsum"]
    assert (ours["complete"], ours["audio_seconds"], ours["kind"]) == (True, 2.0, "audio-llm")


async def test_without_words_it_is_the_default_style(site: Site) -> None:
    await ask(site, messages=[{"role": "user", "content": [part()]}])
    assert site.engine.requests[-1].instruction == prompts.instruction(Style())


async def test_a_data_url_is_a_recording_too(site: Site) -> None:
    data = base64.b64encode(wav()).decode()
    answer = await ask(site, messages=messages(url_part(f"data:audio/wav;base64,{data}")))
    assert answer.choices[0].message.content == TEXT


async def test_a_stream_comes_in_pieces(site: Site) -> None:
    chunks = await ask(site, stream=True, stream_options={"include_usage": True})
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 7
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-2].model_extra["speechsum"]["complete"] is True


async def test_without_include_usage_there_is_none(site: Site) -> None:
    chunks = await ask(site, stream=True)
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def each(request: GenerationRequest) -> Sequence[str]:
    return ["number ", str(request.seed)]


@pytest.mark.parametrize("stream", [False, True])
async def test_several_answers_are_of_one_decoding_with_seeds_of_their_own(stream: bool) -> None:
    async with serving(ScriptedEngine(each)) as site:
        before = value("speechsum_audio_seconds_total")
        answer = await ask(site, n=3, seed=5, temperature=0.8, stream=stream)
        texts = ["", "", ""]
        if stream:
            ends = []
            for chunk in answer:
                for one in chunk.choices:
                    texts[one.index] += one.delta.content or ""
                    ends += [one.index] if one.finish_reason else []
            assert ends == [0, 1, 2]
        else:
            texts = [choice.message.content for choice in answer.choices]
            assert answer.usage.completion_tokens == 6
        assert texts == ["number 5", "number 6", "number 7"]
        assert value("speechsum_audio_seconds_total") == before + 2
        assert len({request.request_id for request in site.engine.requests}) == 3


async def test_sampling_reaches_the_engine(site: Site) -> None:
    await ask(site, temperature=0.7, top_p=0.9, seed=-1, max_completion_tokens=33, stop=["x", "\n\n"])
    request = site.engine.requests[-1]
    assert (request.temperature, request.top_p, request.seed, request.max_tokens, request.stop) == (
        0.7,
        0.9,
        2**63 - 1,
        33,
        ("x", "\n\n"),
    )
    await ask(site, max_tokens=44)
    request = site.engine.requests[-1]
    assert (request.temperature, request.top_p, request.max_tokens, request.stop) == (0.0, 1.0, 44, ())


async def test_it_ends_before_a_stop_and_at_its_length(site: Site) -> None:
    answer = await ask(site, stop="of ")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("A scripted summary ", "stop")
    answer = await ask(site, max_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("A scripted ", "length")


OWN = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}


async def test_a_schema_is_enforced_by_the_engine() -> None:
    async with serving(ScriptedEngine(['{"mood":', '"calm"}'])) as site:
        form = {"type": "json_schema", "json_schema": {"name": "mood", "schema": OWN, "strict": True}}
        answer = await ask(site, response_format=form)
        assert json.loads(answer.choices[0].message.content) == {"mood": "calm"}
        assert site.engine.requests[-1].schema == OWN
        await ask(site, response_format={"type": "json_object"})
        assert site.engine.requests[-1].schema == {"type": "object"}
        await ask(site, response_format={"type": "text"})
        assert site.engine.requests[-1].schema is None


async def test_silence_is_an_empty_answer(site: Site) -> None:
    answer = await ask(site, messages=messages(part(wav(2, amplitude=0))))
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("", "stop")
    assert answer.model_extra["speechsum"]["finish_reason"] == "no_speech"
    chunks = await ask(site, messages=messages(part(wav(2, amplitude=0))), n=2, stream=True)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == ["stop", "stop"]


NEUTRAL = {
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "logprobs": False,
    "tools": [],
    "tool_choice": "auto",
    "user": "someone",
    "metadata": {"a": "b"},
    "store": False,
}


async def test_what_asks_for_nothing_is_let_pass(site: Site) -> None:
    tools = {name: given for name, given in NEUTRAL.items() if name in ("tools", "tool_choice")}
    plain = {name: given for name, given in NEUTRAL.items() if name not in tools}
    answer = await ask(site, **plain, extra_body=tools)
    assert answer.choices[0].message.content == TEXT


@pytest.mark.parametrize(
    ("more", "param", "reason"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"extra_body": {"tools": [{"type": "function"}]}}, "tools", "unsupported_parameter"),
        ({"extra_body": {"best_of": 3}}, "best_of", "unknown_parameter"),
        ({"n": 9}, "n", "invalid_field"),
        ({"temperature": 3}, "temperature", "invalid_field"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_field"),
        ({"max_tokens": 100_000}, "max_tokens", "invalid_field"),
        ({"messages": []}, "messages", "invalid_field"),
        ({"messages": [{"role": "user", "content": "no recording"}]}, "messages", "invalid_field"),
        ({"messages": messages(part(), part())}, "messages", "invalid_field"),
        ({"messages": messages(url_part("data:audio/wav,plain"))}, "messages", "invalid_field"),
        ({"messages": messages(url_part("data:audio/wav;base64,%%%"))}, "messages", "invalid_field"),
        ({"messages": messages(url_part("https://audio.example.org/x.wav"))}, "url", "audio_url_disabled"),
        ({"messages": messages(url_part("file:///etc/passwd"))}, "url", "audio_url_disabled"),
        ({"messages": messages(text="x" * 8001)}, "messages", "invalid_field"),
        ({"messages": [{"role": "tool", "content": "hm"}, *messages()]}, "messages.0", "invalid_field"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_field"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}},
            "response_format",
            "invalid_json_schema",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    site: Site, more: dict[str, Any], param: str, reason: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(site, **more)
    assert (refused.value.param, refused.value.code) == (param, reason)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert site.engine.requests == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tools": [{"type": "function", "function": {"name": "x" * 5000}}]}, "calls no tools"),
        ({"tool_choice": "required"}, '("none" or "auto" or null)'),
        ({"presence_penalty": 1.5}, "temperature, top_p and seed"),
        ({"tools": 0.0}, "calls no tools"),
        ({"frequency_penalty": False}, "(0 or null)"),
        ({"modalities": ["text", "audio"]}, "answers are text"),
    ],
)
async def test_what_is_not_supported_says_why_and_does_not_repeat_it(
    site: Site, given: dict[str, Any], said: str
) -> None:
    body = {"model": "test-model", "messages": messages(), **given}
    refused = await site.client.post(PATH, json=body)
    assert code(refused) == (400, "unsupported_parameter")
    message = refused.json()["error"]["message"]
    (name,) = given
    assert message.startswith(f"{name} is not supported: ")
    assert said in message
    assert len(message) < 300


async def test_an_unknown_query_parameter_is_refused(site: Site) -> None:
    refused = await site.client.post(f"{PATH}?api-version=2024-06-01", json={"model": "m", "messages": messages()})
    assert code(refused) == (400, "unknown_field")
    assert refused.json()["error"]["param"] == "api-version"


async def test_a_body_that_is_no_json_is_no_fields_fault(site: Site) -> None:
    response = await site.client.post("/v1/chat/completions", content=b'{"model":')
    assert code(response) == (400, "invalid_field")
    error = response.json()["error"]
    assert error["param"] is None
    assert error["message"].startswith("Invalid JSON")


async def test_errors_are_openais_own_exceptions(site: Site) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await ask(site, model="gpt-4o-audio-preview")
    assert missing.value.code == "model_not_found"
    site.decoder.error = Unprocessable("It is damaged.", code="undecodable_audio", param="file")
    with pytest.raises(openai.UnprocessableEntityError, match="damaged"):
        await ask(site)
    with pytest.raises(openai.APIStatusError) as odd:
        await ask(site, messages=messages(part(b"no audio at all")))
    assert odd.value.status_code == 415
    broken = await site.client.post(PATH, content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 400


async def test_a_key_is_asked_for_where_there_are_keys() -> None:
    async with serving(auth={"keys": ["secret"]}) as site:
        with pytest.raises(openai.AuthenticationError):
            await ask(site)
        answer = await ask(site, {"api_key": "secret"})
        assert answer.choices[0].message.content == TEXT


async def test_a_body_too_large_is_refused_with_its_setting() -> None:
    async with serving(limits={"json_bytes": 10_000}) as site:
        with pytest.raises(openai.APIStatusError, match="SPEECHSUM_LIMITS__JSON_BYTES") as refused:
            await ask(site)
        assert refused.value.status_code == 413


@pytest.mark.timing
async def test_it_is_tried_again_when_told_so_and_as_late_as_told() -> None:
    async with serving(ScriptedEngine(start_s=0.7), ready=False, limits={"retry_after_seconds": 0.3}) as site:
        began = time.monotonic()
        answer = await ask(site, {"max_retries": 5})
        assert answer.choices[0].message.content is not None
        assert 0.6 < time.monotonic() - began < 3, "it waited as long as it was told, not as long as it would"


async def test_what_will_not_get_better_is_not_tried_again() -> None:
    async with serving() as site:
        site.engine.error = Unavailable("Broken.", code="engine_failed")
        with pytest.raises(openai.InternalServerError):
            await ask(site, {"max_retries": 5})
        assert len(site.engine.requests) == 1


async def test_a_client_that_times_out_leaves_nothing_running() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as site:
        engine.piece_s = 30
        with pytest.raises(openai.APITimeoutError):
            await ask(site, {"timeout": 0.4})
        await site.until_idle()
        async with client(site) as leaving:
            stream = await leaving.chat.completions.create(model="test-model", messages=messages(), stream=True)
            await anext(aiter(stream))
            await stream.close()
        await site.until_idle()


@pytest.fixture
def sync_client(site: Site) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{site.port}/v1", api_key="none", max_retries=0) as known:
        yield known


async def test_the_sync_client_gets_along_too(site: Site, sync_client: openai.OpenAI) -> None:
    def all_of_it() -> tuple[str | None, str, list[str], str]:
        whole = sync_client.chat.completions.create(model="test-model", messages=messages())
        stream = sync_client.chat.completions.create(model="test-model", messages=messages(), stream=True)
        pieces = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        try:
            sync_client.chat.completions.create(model="other", messages=messages())
        except openai.NotFoundError as error:
            missing = str(error.code)
        return whole.choices[0].message.content, pieces, [model.id for model in sync_client.models.list()], missing

    assert await asyncio.to_thread(all_of_it) == (TEXT, TEXT, ["test-model@3"], "model_not_found")


async def test_both_ways_are_one_path(site: Site) -> None:
    chat = await ask(site, messages=[{"role": "user", "content": [part()]}])
    own: httpx.Response = await site.post()
    ours = chat.model_extra["speechsum"]
    assert {name: ours[name] for name in ("summary", "audio", "windows", "style", "usage")} == {
        name: own.json()[name] for name in ("summary", "audio", "windows", "style", "usage")
    }
