"""What was not heard is reported with the summary, where the model can say what it heard."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.api.protocol import SummaryResponse
from app.core.asr.confidence import Recognition
from app.engine.base import GenerationRequest
from app.engine.scripted import ScriptedEngine
from app.summarize import unsupported_spans
from tests.app.api.test_chat import ask, messages, part
from tests.app.running_service import PATH, Site, serving, wav
from tests.app.summarize.test_long_audio import minutes

HEARD = "This is Maria, and the roof will cost four thousand two hundred dollars."
ENGLISH = Recognition("en", 0.99, -0.2)
INVENTED = ["Maria says that ", "Peter Novak ", "pays $4,300."]
SPANS = [
    {"start": 16, "end": 27, "text": "Peter Novak", "kind": "name", "in_context": False},
    {"start": 33, "end": 39, "text": "$4,300", "kind": "number", "in_context": False},
]


def cascade(pieces: Any = INVENTED, transcript: str = HEARD) -> ScriptedEngine:
    return ScriptedEngine(pieces, transcript=transcript, recognition=ENGLISH)


async def test_inventions_are_named_with_their_places_and_in_a_warning() -> None:
    async with serving(cascade()) as site:
        answer = (await site.post()).json()
    assert answer["unsupported"] == SPANS
    (warning,) = answer["warnings"]
    assert '"Peter Novak", "$4,300"' in warning


async def test_a_summary_of_what_was_heard_has_an_empty_list_and_no_warning() -> None:
    async with serving(cascade(["Maria pays ", "$4,200."])) as site:
        answer = (await site.post()).json()
    assert (answer["unsupported"], answer["warnings"]) == ([], [])


async def test_a_model_that_cannot_say_what_it_heard_has_none(site: Site) -> None:
    assert (await site.post()).json()["unsupported"] is None
    assert (await site.post(wav(amplitude=0))).json()["unsupported"] is None


@pytest.mark.parametrize(
    "fields", [{"focus": "Peter Novak and his $4,300"}, {"instructions": "Peter Novak asks: is it 4300 dollars?"}]
)
async def test_what_the_request_names_is_no_invention(fields: dict[str, str]) -> None:
    async with serving(cascade()) as site:
        assert (await site.post(**fields)).json()["unsupported"] == []
        assert (await site.post(length="short")).json()["unsupported"] == SPANS, "the service's own words do not count"


async def test_the_last_event_and_the_headers_of_a_text_tell_of_them() -> None:
    async with serving(cascade()) as site:
        text = (await site.post(stream="true")).text
        last = json.loads(text.split("\n\n")[-3].removeprefix("data: "))
        assert (last["object"], last["unsupported"]) == ("audio.summary.done", SPANS)
        headers = (await site.post(response_format="text")).headers
    assert "Peter Novak" in json.loads(headers["x-summary-warnings"])[0]


async def test_a_job_tells_of_them() -> None:
    async with serving(cascade()) as site:
        job = (await site.client.post(f"{PATH}/jobs", files={"file": wav()})).json()
        async with site.client.stream("GET", f"{PATH}/jobs/{job['id']}/events") as stream:
            await stream.aread()
        assert (await site.client.get(f"{PATH}/jobs/{job['id']}/result")).json()["unsupported"] == SPANS


async def test_a_chat_tells_of_them_and_an_earlier_answer_proves_nothing() -> None:
    async with serving(cascade()) as site:
        answer = await ask(site, messages=messages(part()))
        assert answer.speechsum["unsupported"] == SPANS
        earlier = [*messages(part()), {"role": "assistant", "content": "".join(INVENTED)}]
        again = await ask(site, messages=[*earlier, {"role": "user", "content": "Shorter, please."}])
        assert again.speechsum["unsupported"] == SPANS
        named = await ask(site, messages=[*earlier, {"role": "user", "content": "Who is Peter Novak? Why $4,300?"}])
        assert named.speechsum["unsupported"] == []


async def test_json_is_looked_through_and_the_places_are_those_in_the_text() -> None:
    text = json.dumps({"mood": 'Maria is "calm", and Novak pays 4300 dollars'})
    schema = json.dumps({"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]})
    async with serving(cascade([text])) as site:
        answer = (await site.post(json_schema=schema)).json()
    assert answer["structured"]
    spans = answer["unsupported"]
    assert [one["text"] for one in spans] == ["Novak", "4300 dollars"]
    assert all(answer["summary"][one["start"] : one["end"]] == one["text"] for one in spans)


async def test_all_windows_of_a_long_recording_were_heard() -> None:
    def write(request: GenerationRequest) -> Sequence[str]:
        if request.samples is not None:
            engine.transcript = f"The ship lies in harbour and costs {len(engine.requests) * 1111} dollars."
            return ["a note"]
        return ["At 0:01:00 it is ", "1111 dollars, ", "then 3333 dollars, ", "then 7777 dollars."]

    engine = cascade(write)
    async with serving(engine, long={"windows_at_once": 1}) as site:
        site.service.summarizer.find_speech = minutes
        engine.requests.clear()
        answer = (await site.post(wav(seconds=180))).json()
    assert len(answer["windows"]) == 3
    assert [one["text"] for one in answer["unsupported"]] == ["7777 dollars"]


async def test_a_check_that_fails_costs_no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(unsupported_spans, "find_unsupported", fail)
    async with serving(cascade()) as site:
        answer = (await site.post()).json()
    assert (answer["summary"], answer["unsupported"]) == ("".join(INVENTED), None)


def test_a_warning_stays_short() -> None:
    many = unsupported_spans.Unsupported(0, 1, "x", "name")
    found = [unsupported_spans.Unsupported(0, 1, f"Name{number}", "name") for number in range(30)]
    (warning,) = unsupported_spans.unsupported_warnings([*found, *found])
    assert "and 22 more" in warning
    assert list(unsupported_spans.unsupported_warnings([])) == []
    assert len(list(unsupported_spans.unsupported_warnings([many]))) == 1


async def test_a_result_that_an_earlier_version_stored_is_still_read() -> None:
    async with serving(cascade()) as site:
        stored = (await site.post()).json()
    del stored["unsupported"]
    assert SummaryResponse.model_validate(stored).unsupported is None
