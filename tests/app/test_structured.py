"""Schemas are checked before they reach an engine, answers are read by them after."""

import json
from typing import Any

import pytest

from app.errors import InvalidRequest
from app.structured import MEETING, read, schema_of

ITEM = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def nested(depth: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": nested(depth - 1)}} if depth else {"type": "object"}


def test_a_schema_is_taken_as_it_is() -> None:
    assert schema_of(json.dumps(ITEM)) == ITEM


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", '"type" is "object"'),
        ('{"type": "array"}', '"type" is "object"'),
        ('{"type": "object", "required": 3}', "is no JSON Schema"),
        (json.dumps(nested(20)), "deep"),
        (json.dumps({"type": "object", "required": [str(n) for n in range(600)]}), "at most 500"),
    ],
)
def test_what_is_none_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match="json_schema") as caught:
        schema_of(text)
    assert said in caught.value.message
    assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "json_schema")


def test_an_answer_is_read_or_its_fault_said() -> None:
    assert read('{"a": 1}', ITEM) == ({"a": 1}, None)
    value, fault = read('{"a": ', ITEM)
    assert value is None
    assert "breaks off" in (fault or "")
    value, fault = read('{"a": "x"}', ITEM)
    assert value is None
    assert "at a:" in (fault or "")


def test_the_meetings_schema_is_one_and_holds_what_a_meeting_has() -> None:
    assert schema_of(json.dumps(MEETING)) == MEETING
    meeting = {name: [] for name in MEETING["properties"]} | {"title": "T", "summary": "S"}
    meeting["action_items"] = [{"who": "Ann", "what": "calls", "when": ""}]
    assert read(json.dumps(meeting), MEETING)[1] is None
