"""The output format for the caller's schema, and for the service's own."""

import json
import time
from typing import Any

import pytest

from app.core.errors import InvalidRequest
from app.summarize.structured.output_format import (
    MEETING_SCHEMA,
    parse_caller_schema,
    schema_output_format,
    with_spaces,
)
from app.summarize.structured.schema_tasks import parse_answer

ITEM = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def nested_schema(depth: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": nested_schema(depth - 1)}} if depth else {"type": "object"}


def test_a_schema_is_taken_as_it_is() -> None:
    assert parse_caller_schema(json.dumps(ITEM)) == ITEM


def test_a_form_says_what_is_enforced_and_where_it_came_from() -> None:
    form = schema_output_format({**ITEM, "$comment": "not for the model"}, "response_format")
    assert form.schema == ITEM
    assert json.dumps(ITEM) in form.prompt_suffix
    assert form.param == "response_format"
    assert form == schema_output_format(json.dumps(ITEM), "response_format")


def test_a_schema_with_spaces_takes_one_behind_each_mark_and_no_others() -> None:
    from llguidance import LLMatcher, LLTokenizer

    tokenizer = LLTokenizer("byte")
    schema = json.dumps(with_spaces(MEETING_SCHEMA))
    grammar = LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_flexible": False})

    def grammar_accepts(text: str) -> bool:
        return LLMatcher(tokenizer, grammar).try_consume_tokens(tokenizer.tokenize_str(text)) == len(text)

    whole = {name: [] for name in MEETING_SCHEMA["properties"]} | {
        "title": "A title",
        "summary": "",
        "key_points": ["a", "b"],
    }
    assert grammar_accepts(json.dumps({name: whole[name] for name in MEETING_SCHEMA["properties"]}))
    assert not grammar_accepts('{"title":"A')
    assert not grammar_accepts('{"title":  "A')
    assert not grammar_accepts('{ "title": "A')
    assert parse_answer(json.dumps(whole), with_spaces(MEETING_SCHEMA)) == (whole, None)


@pytest.mark.parametrize(
    "more",
    [
        {"default": list(range(2_000_000))},
        {"default": "x" * 50_000_000},
        {"x" * 50_000_000: True},
        {"default": {str(n): {} for n in range(200_000)}},
    ],
    ids=["items", "text", "name", "names"],
)
def test_a_value_that_is_too_large_is_refused_before_it_is_written_out(more: dict[str, Any]) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidRequest, match="or more; at most"):
        schema_output_format({**ITEM, **more}, "response_format")
    assert time.thread_time() - began < 0.05


def test_a_value_that_is_no_json_is_refused_like_a_text() -> None:
    for value in ({**ITEM, "default": 10**5000}, {**ITEM, "default": float("nan")}, {**ITEM, "title": "\ud800"}):
        with pytest.raises(InvalidRequest) as caught:
            schema_output_format(value, "response_format")
        assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "response_format")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "characters"),
        ("[]", '"type" is "object"'),
        ('{"type": "array"}', '"type" is "object"'),
        ('{"type": "object", "required": 3}', "is not a JSON Schema"),
        (json.dumps(nested_schema(20)), "deep"),
        (json.dumps({"type": "object", "required": [str(n) for n in range(600)]}), "at most 500"),
    ],
)
def test_what_is_none_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match="json_schema") as caught:
        parse_caller_schema(text)
    assert said in caught.value.message
    assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "json_schema")


def test_the_meetings_schema_is_one_and_holds_what_a_meeting_has() -> None:
    assert parse_caller_schema(json.dumps(MEETING_SCHEMA)) == MEETING_SCHEMA
    meeting = {name: [] for name in MEETING_SCHEMA["properties"]} | {"title": "T", "summary": "S"}
    meeting["action_items"] = [{"who": "Ann", "what": "calls", "when": ""}]
    assert parse_answer(json.dumps(meeting), MEETING_SCHEMA)[1] is None
