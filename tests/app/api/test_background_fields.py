"""`context` and `vocabulary` on every route: what the model gets of them, their bounds, and what is said about names
that stand nowhere else.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.api.background_fields import clean_terms, split_terms
from app.core.asr.confidence import Recognition
from app.core.background import BACKGROUND_RULE, SYSTEM_RULE, VOCABULARY_RULE, Background
from app.core.prompts import SYSTEM_PROMPT, Style, instruction
from app.engine.scripted import ScriptedEngine
from tests.app.api.test_chat import ask, messages, part
from tests.app.running_service import PATH, Site, code, serving, until, wav
from tests.app.summarize.test_long_audio import minutes

CONTEXT = "Agenda: Peter Novak shows the new roof at 9:40."
FIELDS = {"context": CONTEXT, "vocabulary": "Aoife, Kubernetes\nSiobhán"}
TERMS = ("Aoife", "Kubernetes", "Siobhán")
PLAIN = instruction(Style())
PROMPT = Background(CONTEXT, TERMS).introduce(PLAIN)
HEARD = "This is Maria, and the roof will cost four thousand dollars."
WRITTEN = ["Maria says that ", "Peter Novak ", "and Aoife ", "and Gustav ", "pay at 9:40."]


pytestmark = pytest.mark.asyncio(loop_scope="module")


def cascade() -> ScriptedEngine:
    return ScriptedEngine(WRITTEN, transcript=HEARD, recognition=Recognition("en", 0.99, -0.2))


async def test_both_stand_before_the_instruction_and_the_echo_is_without_them(shared: Site) -> None:
    for response in (
        await shared.post(**FIELDS),
        await shared.client.post(PATH, content=wav(), params=FIELDS),
    ):
        request = shared.engine.requests[-1]
        assert request.instruction == PROMPT
        assert request.vocabulary == TERMS
        assert request.system == f"{SYSTEM_PROMPT} {SYSTEM_RULE}"
        assert response.json()["style"]["instruction"] == PLAIN


async def test_without_them_the_prompt_is_as_it_was(shared: Site) -> None:
    await shared.post(context="  ", vocabulary=" , ")
    request = shared.engine.requests[-1]
    assert (request.instruction, request.vocabulary, request.system) == (PLAIN, (), SYSTEM_PROMPT)


async def test_a_job_and_a_chat_have_them_too(shared: Site) -> None:
    shared.engine.requests.clear()
    await shared.client.post(f"{PATH}/jobs", files={"file": wav()}, data=FIELDS)
    await until(lambda: bool(shared.engine.requests))
    assert shared.engine.requests[-1].instruction == PROMPT
    await ask(shared, messages=messages(part(), text="Who pays?"), extra_body={"context": CONTEXT, "vocabulary": TERMS})
    request = shared.engine.requests[-1]
    assert request.instruction == Background(CONTEXT, TERMS).introduce("Who pays?")
    assert (request.vocabulary, request.system) == (TERMS, f"{SYSTEM_PROMPT} {SYSTEM_RULE}")


async def test_of_a_long_recording_every_prompt_has_them(shared: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.service.summarizer, "find_speech", minutes)
    shared.engine.requests.clear()
    await shared.post(wav(seconds=180), **FIELDS)
    assert len(shared.engine.requests) == 4
    for request in shared.engine.requests:
        assert BACKGROUND_RULE in request.instruction
        assert f"{VOCABULARY_RULE} {'; '.join(TERMS)}." in request.instruction
        assert request.system == f"{SYSTEM_PROMPT} {SYSTEM_RULE}"
        assert request.vocabulary == TERMS


async def test_a_context_that_the_model_has_no_room_for_is_refused() -> None:
    engine = ScriptedEngine(context_tokens=900)
    async with serving(engine) as site:
        site.service.summarizer.find_speech = minutes
        assert (await site.post(wav(seconds=180), max_tokens="100")).status_code == 200
        response = await site.post(wav(seconds=180), max_tokens="100", context="word " * 700)
        in_one_pass = await site.post(max_tokens="100", context="a " * 1000)
    assert code(response) == code(in_one_pass) == (413, "context_exceeded")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict() -> AsyncIterator[Site]:
    """A service that accepts little."""
    async with serving(limits={"context_characters": 20, "vocabulary_terms": 3}) as running:
        yield running


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"context": "x" * 21}, "context", "SPEECHSUM_LIMITS__CONTEXT_CHARACTERS"),
        ({"vocabulary": "a,b,c,d"}, "vocabulary", "SPEECHSUM_LIMITS__VOCABULARY_TERMS"),
        ({"vocabulary": "x" * 81}, "vocabulary", "81 characters, and 80 are accepted"),
        ({"vocabulary": "a,\x07b"}, "vocabulary", "control characters"),
        ({"vocabulary": "a, ---"}, "vocabulary", "a letter or a digit"),
    ],
)
async def test_their_bounds(strict: Site, fields: dict[str, str], param: str, said: str) -> None:
    chat: dict[str, Any] = {name: value.split(",") if name == "vocabulary" else value for name, value in fields.items()}
    for response in (
        await strict.post(**fields),
        await strict.client.post(f"{PATH}/jobs", files={"file": wav()}, data=fields),
        await strict.client.post("/v1/chat/completions", json={"model": "", "messages": messages(), **chat}),
    ):
        assert code(response) == (400, "invalid_field")
        assert response.json()["error"]["param"].startswith(param)
        assert said in response.json()["error"]["message"]
    assert strict.engine.requests == []


async def test_what_is_within_the_bounds_is_accepted() -> None:
    async with serving(limits={"context_characters": 20, "vocabulary_terms": 3}) as site:
        assert (await site.post(context="x" * 20, vocabulary="a,b,c,a")).status_code == 200


@pytest.mark.parametrize(("name", "other"), [("context", "Another agenda."), ("vocabulary", "Ben")])
async def test_another_one_is_another_request_under_the_same_key(shared: Site, name: str, other: str) -> None:
    key = {"idempotency-key": f"with another {name}"}
    assert (await shared.post(headers=key, **FIELDS)).status_code == 200
    assert (await shared.post(headers=key, **FIELDS)).headers["idempotent-replayed"] == "true"
    assert code(await shared.post(headers=key, **{**FIELDS, name: other}))[1] == "idempotency_key_reused"


async def test_what_stands_only_in_the_context_is_listed_and_marked() -> None:
    async with serving(cascade()) as site:
        answer = (await site.post(**FIELDS)).json()
        assert [(one["text"], one["in_context"]) for one in answer["unsupported"]] == [
            ("Peter Novak", True),
            ("Aoife", True),
            ("Gustav", False),
            ("9:40", True),
        ]
        invented, from_context = answer["warnings"]
        assert invented == 'In the summary, but not heard in the recording: "Gustav". Check before you rely on it.'
        assert from_context.startswith("In the summary from your context or vocabulary, but not heard")
        assert '"Peter Novak", "Aoife", "9:40"' in from_context
        without = (await site.post()).json()
        assert [one["in_context"] for one in without["unsupported"]] == [False] * 4
        requested = (await site.post(**FIELDS, focus="Peter Novak")).json()
        assert "Peter Novak" not in [one["text"] for one in requested["unsupported"]]


async def test_json_has_the_marks_and_what_the_recognizer_had_no_room_for_is_told() -> None:
    text = json.dumps({"mood": "Maria and Peter Novak and Gustav are here"})
    schema = json.dumps({"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]})
    recognition = Recognition("en", 0.99, -0.2, unused_terms=2)
    async with serving(ScriptedEngine([text], transcript=HEARD, recognition=recognition)) as site:
        answer = (await site.post(json_schema=schema, **FIELDS)).json()
    spans = answer["unsupported"]
    assert [(one["text"], one["in_context"]) for one in spans] == [("Peter Novak", True), ("Gustav", False)]
    assert any("no room for the last 2 terms of the vocabulary" in one for one in answer["warnings"])


async def test_terms_are_cleaned() -> None:
    assert split_terms(" Aoife  Ní\tBhraonáin ,, Ben;Ben\r\nCarl ") == ("Aoife Ní Bhraonáin", "Ben", "Carl")
    assert clean_terms(["Smith, John", "C++"]) == ("Smith, John", "C++")
    assert split_terms("") == ()
