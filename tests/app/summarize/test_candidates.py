"""With effort high several summaries are written, and the best of them is the answer."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.core.asr.confidence import Recognition
from app.core.errors import Unprocessable
from app.engine.base import GenerationRequest
from app.engine.scripted import ScriptedEngine
from tests.app.api.test_chat import ask, messages, part
from tests.app.running_service import PATH, Site, code, serving, until, value, wav
from tests.app.summarize.test_long_audio import minutes

AGREED = ["The roof leaks, ", "and Tom orders tiles."]
OUTLIER = ["The garden ", "is nice ", "today."]
OWN = json.dumps({"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]})


def number(request: GenerationRequest) -> int:
    """The number of the candidate that is asked for."""
    last = request.request_id.rpartition("-")[2]
    return int(last) if last.isdigit() and len(last) < 3 else 0


def greedy_is_the_outlier(request: GenerationRequest) -> Sequence[str]:
    return OUTLIER if number(request) == 0 else AGREED


def stream_events(text: str) -> list[Any]:
    return [json.loads(one.removeprefix("data: ")) for one in text.split("\n\n") if one.startswith("data: {")]


async def test_the_summary_that_most_agree_with_is_the_answer_and_all_tokens_are_counted() -> None:
    async with serving(ScriptedEngine(greedy_is_the_outlier)) as site:
        site.engine.requests.clear()
        written = value("speechsum_output_tokens_total", kind="audio-llm")
        answer = (await site.post(effort="high", seed="40")).json()
        requests = sorted(site.engine.requests, key=number)
        assert answer["summary"] == "".join(AGREED)
        assert answer["finish_reason"] == "stop"
        assert [one.temperature for one in requests] == [0.0, *[0.7] * 5]
        assert [one.seed for one in requests] == list(range(40, 46))
        assert len({one.request_id for one in requests}) == 6
        assert site.engine.max_running == 6
        assert answer["usage"]["completion_tokens"] == len(OUTLIER) + 5 * len(AGREED)
        one = (await site.post()).json()
        assert one["summary"] == "".join(OUTLIER)
        assert answer["usage"]["prompt_tokens"] == 6 * one["usage"]["prompt_tokens"]
        assert value("speechsum_output_tokens_total", kind="audio-llm") - written == 2 * len(OUTLIER) + 5 * len(AGREED)
        timings = answer["timings"]
        assert {"sampling", "choosing", "queue", "engine_decode"} <= timings.keys()
        parts = sum(timings[name] for name in ("receive", "decode", "speech", "sampling", "choosing", "overhead"))
        assert parts == pytest.approx(timings["total"], abs=0.001)


async def test_the_settings_say_how_many_and_how_varied() -> None:
    async with serving(ScriptedEngine(), effort={"samples": 3, "temperature": 1.1}) as site:
        site.engine.requests.clear()
        await site.post(effort="high")
        assert sorted(one.temperature for one in site.engine.requests) == [0.0, 1.1, 1.1]
        site.engine.requests.clear()
        await site.post(effort="normal")
        assert [one.temperature for one in site.engine.requests] == [0.0]


async def test_each_candidate_takes_a_place_in_the_engine() -> None:
    async with serving(ScriptedEngine(greedy_is_the_outlier), engine={"max_num_seqs": 2}) as site:
        assert (await site.post(effort="high")).json()["summary"] == "".join(AGREED)
        assert site.engine.max_running == 2


async def test_a_stream_tells_the_stages_and_then_the_chosen_text() -> None:
    async with serving(ScriptedEngine(greedy_is_the_outlier)) as site:
        events = stream_events((await site.post(effort="high", stream="true")).text)
        text = (await site.post(effort="high", stream="true", response_format="text")).text
    progress = [(one["stage"], one["done"], one["of"]) for one in events if one["object"] == "audio.summary.progress"]
    assert [one for one in progress if one[0] == "sampling"] == [("sampling", done, 6) for done in range(7)]
    assert [one[0] for one in progress].count("engine_decode") == 1
    assert progress[-1] == ("choosing", None, None)
    assert [one["delta"] for one in events if one["object"] == "audio.summary.delta"] == ["".join(AGREED)]
    assert [one["object"] for one in events[-2:]] == ["audio.summary.delta", "audio.summary.done"]
    assert events[-1]["summary"] == text == "".join(AGREED)


@pytest.mark.parametrize("transcript", ["The roof leaks and Tom orders the tiles for it.", None])
async def test_inventions_count_against_a_candidate_if_the_model_can_say_what_it_heard(transcript: str | None) -> None:
    invented = [*AGREED, " It is for Novak on Monday."]

    def write(request: GenerationRequest) -> Sequence[str]:
        return AGREED if number(request) == 2 else invented

    recognition = Recognition("en", 0.99, -0.2) if transcript else None
    engine = ScriptedEngine(write, transcript=transcript, recognition=recognition)
    async with serving(engine, effort={"samples": 3}) as site:
        answer = (await site.post(effort="high")).json()
    assert answer["summary"] == "".join(AGREED if transcript else invented)


async def test_json_that_does_not_follow_the_schema_is_left_out() -> None:
    def write(request: GenerationRequest) -> Sequence[str]:
        return ['{"mood": "calm and glad"}'] if number(request) == 3 else ['{"mood": ', "1}"]

    async with serving(ScriptedEngine(write)) as site:
        answer = (await site.post(effort="high", json_schema=OWN)).json()
    assert answer["structured"] == {"mood": "calm and glad"}
    assert answer["warnings"] == []


async def test_a_candidate_that_broke_off_is_left_out() -> None:
    def write(request: GenerationRequest) -> Sequence[str]:
        return ["Tom ", "pays."] if number(request) == 1 else [*AGREED, "And ", "so ", "on."]

    async with serving(ScriptedEngine(write)) as site:
        answer = (await site.post(effort="high", max_tokens="3")).json()
        assert (answer["summary"], answer["finish_reason"]) == ("Tom pays.", "stop")
        answer = (await site.post(effort="high", max_tokens="1")).json()
        assert answer["finish_reason"] == "length", "if all broke off, one of them is the answer"


async def test_of_a_long_recording_only_the_last_answer_is_sampled() -> None:
    def write(request: GenerationRequest) -> Sequence[str]:
        return ["a ", "note"] if request.samples is not None else greedy_is_the_outlier(request)

    async with serving(ScriptedEngine(write)) as site:
        site.service.summarizer.find_speech = minutes
        site.engine.requests.clear()
        answer = (await site.post(wav(130), effort="high")).json()
        notes = [one for one in site.engine.requests if one.samples is not None]
    assert answer["summary"] == "".join(AGREED)
    assert len(answer["windows"]) == len(notes) == 3
    assert {one.temperature for one in notes} == {0.0}
    assert answer["usage"]["completion_tokens"] == 3 * 2 + len(OUTLIER) + 5 * len(AGREED)
    assert len(answer["citations"]) == 1


async def test_silence_needs_no_choice() -> None:
    async with serving() as site:
        site.engine.requests.clear()
        answer = (await site.post(wav(amplitude=0), effort="high")).json()
        assert (answer["summary"], answer["finish_reason"]) == ("", "no_speech")
        assert site.engine.requests == []


async def test_a_client_that_leaves_ends_all_candidates() -> None:
    async with serving() as site:
        site.engine.piece_s = 30
        task = asyncio.create_task(site.post(effort="high"))
        await until(lambda: site.engine.running_requests == 6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await site.until_idle()
        assert site.engine.aborted == 6


async def test_an_error_of_one_candidate_is_the_requests_and_ends_the_others() -> None:
    def write(request: GenerationRequest) -> Sequence[str]:
        if number(request) == 5:
            raise Unprocessable("There is no sixth answer.", code="no_sixth_answer")
        return AGREED

    async with serving(ScriptedEngine(write)) as site:
        site.engine.piece_s = 30
        assert code(await site.post(effort="high")) == (422, "no_sixth_answer")
        await site.until_idle()
        assert site.engine.aborted == 5


@pytest.mark.parametrize("temperature", ["0", "0.5"])
async def test_effort_does_not_go_with_a_temperature(site: Site, temperature: str) -> None:
    response = await site.post(effort="high", temperature=temperature)
    assert code(response) == (400, "invalid_field")
    assert response.json()["error"]["param"] == "temperature"
    assert "SPEECHSUM_EFFORT__TEMPERATURE" in response.json()["error"]["message"]
    assert (await site.post(effort="normal", temperature=temperature)).status_code == 200


async def test_an_unknown_effort_is_refused(site: Site) -> None:
    response = await site.post(effort="extreme")
    assert (code(response), response.json()["error"]["param"]) == ((400, "invalid_field"), "effort")


async def test_a_job_can_ask_for_it_and_a_wrong_one_is_refused_before_it_is_queued() -> None:
    async with serving(ScriptedEngine(greedy_is_the_outlier)) as site:
        files = {"file": wav()}
        job = (await site.client.post(f"{PATH}/jobs", files=files, data={"effort": "high"})).json()
        async with site.client.stream("GET", f"{PATH}/jobs/{job['id']}/events") as stream:
            await stream.aread()
        result = (await site.client.get(f"{PATH}/jobs/{job['id']}/result")).json()
        assert result["summary"] == "".join(AGREED)
        wrong = {"effort": "high", "temperature": "1"}
        assert (await site.client.post(f"{PATH}/jobs", files=files, data=wrong)).status_code == 400


async def test_a_chat_can_ask_for_it_but_not_for_several_answers_too() -> None:
    async with serving(ScriptedEngine(greedy_is_the_outlier)) as site:
        answer = await ask(site, extra_body={"effort": "high"})
        assert [one.message.content for one in answer.choices] == ["".join(AGREED)]
        assert answer.usage.completion_tokens == len(OUTLIER) + 5 * len(AGREED)
        chunks = await ask(site, extra_body={"effort": "high"}, stream=True)
        assert "".join(one.choices[0].delta.content or "" for one in chunks) == "".join(AGREED)
        for more, param in (({"n": 2}, "n"), ({"temperature": 0}, "temperature")):
            body = {"model": "test-model", "messages": messages(part()), "effort": "high", **more}
            response = await site.client.post("/v1/chat/completions", json=body)
            assert (code(response), response.json()["error"]["param"]) == ((400, "invalid_field"), param)
