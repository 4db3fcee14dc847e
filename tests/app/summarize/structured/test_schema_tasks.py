"""Which schemas the grammar compiler can enforce, and how answers are parsed."""

import json
import time
from typing import Any

import pytest

from app.summarize.structured.json_schema import parse_schema
from app.summarize.structured.output_format import MEETING_SCHEMA
from app.summarize.structured.schema_tasks import enforcement_error, parse_answer

ITEM = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def object_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@pytest.mark.parametrize(
    "property_",
    [
        {"const": "aaaaaaaaaaaaaaaaaaaaaaaaa!", "pattern": "^(a+)+$"},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"type": "string", "format": "no-such-format"},
        {"type": "string", "pattern": r"(a)\1"},
        {"type": "number", "multipleOf": 1e-300},
        {"type": "number", "minimum": -1e308, "maximum": 1e308},
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"allOf": [{"pattern": "[ab]*a[ab]{15}$"}, {"pattern": "[ab]*b[ab]{17}$"}, {"pattern": "^([ab]{7})*$"}]},
    ],
)
def test_what_the_compiler_cannot_enforce_is_a_fault(property_: dict[str, Any]) -> None:
    fault = enforcement_error(parse_schema(json.dumps(object_schema(a=property_))))
    assert fault
    assert "\n" not in fault


def test_alternatives_that_overlap_are_refused_with_what_to_use_instead() -> None:
    overlapping = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    assert "use anyOf" in (enforcement_error(parse_schema(json.dumps(object_schema(a=overlapping)))) or "")


def test_the_compiler_stops_early_at_a_schema_that_grows() -> None:
    lists = {f"p{n}": {"type": "array", "items": {"type": "string"}, "maxItems": 4096 - n} for n in range(60)}
    schema = parse_schema(json.dumps(object_schema(**lists)))
    began = time.thread_time()
    assert "cannot be enforced" in (enforcement_error(schema) or "")
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "schema",
    [
        MEETING_SCHEMA,
        {"type": "object"},
        object_schema(a={"allOf": [{"type": "string"}, {"enum": ["x", "y"]}]}),
        object_schema(
            a={"type": "string", "format": "date-time"}, b={"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}
        ),
        object_schema(**{f"p{n}": {"type": "string", "maxLength": 40} for n in range(90)}),
        object_schema(
            a={"oneOf": [object_schema(kind={"const": "x"}, n={"type": "integer"}), object_schema(kind={"const": "y"})]}
        ),
        object_schema(**{"a/b c": {"type": "string"}, "d": {"$ref": "#/properties/a~1b%20c"}}),
        {
            "$defs": {"n": object_schema(next={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]})},
            "$ref": "#/$defs/n",
            "type": "object",
        },
    ],
)
def test_what_it_enforces_is_taken(schema: dict[str, Any]) -> None:
    assert enforcement_error(parse_schema(json.dumps(schema))) is None


def test_an_answer_is_read_or_its_fault_said() -> None:
    assert parse_answer('{"a": 1}', ITEM) == ({"a": 1}, None)
    value, fault = parse_answer('{"a": ', ITEM)
    assert value is None
    assert "broke off" in (fault or "")
    value, fault = parse_answer('{"a": "x"}', ITEM)
    assert value is None
    assert "at a:" in (fault or "")


@pytest.mark.parametrize(
    "answer",
    [
        '{"a": 1, "b": NaN}',
        '{"a": 1, "b": -Infinity}',
        '{"a": 1, "b": 1e999}',
        '{"a": 1, "b": "\\ud800"}',
        '{"a": 1, "a": 2}',
        '{"a": ' + "[" * 2000 + "]" * 2000 + "}",
        '{"a": ' + '{"a":' * 100_000,
        '{"a": 1, "b": ' + "9" * 5000 + "}",
    ],
)
def test_a_value_that_cannot_be_written_out_is_none(answer: str) -> None:
    value, fault = parse_answer(answer, ITEM)
    assert value is None
    assert "`structured` is null" in (fault or "")


def test_an_answer_that_breaks_off_is_closed_if_the_schema_allows_it() -> None:
    value, fault = parse_answer('{"a": 1, "text": "It was sa', ITEM)
    assert value == {"a": 1, "text": "It was sa"}
    assert "its end is missing" in (fault or "")
    mood = object_schema(a={"type": "integer"}) | {"properties": {"a": {"type": "integer"}, "mood": {"enum": ["calm"]}}}
    assert parse_answer('{"a": 1, "mood": "ca', mood)[0] == {"a": 1}, "half of a choice is no choice"


def test_the_meetings_schema_has_a_value_wherever_the_answer_was_cut() -> None:
    whole = {name: [] for name in MEETING_SCHEMA["properties"]} | {
        "title": "A title",
        "summary": "Ann said that it is late.",
    }
    whole |= {"key_points": ["One", "Two"], "action_items": [{"who": "Ann", "what": "calls", "when": ""}] * 2}
    text = json.dumps(whole, separators=(",", ":"))
    for end in range(1, len(text)):
        value, fault = parse_answer(text[:end], MEETING_SCHEMA, own=True)
        assert set(value) == set(MEETING_SCHEMA["properties"])
        assert "its end is missing" in (fault or "")
        assert ("open_questions" in (fault or "")) == ('open_questions":[' not in text[:end]), "it says what is empty"


def test_repeated_items_of_the_meetings_lists_are_left_out_and_the_warning_counts_them() -> None:
    whole: dict[str, Any] = {name: [] for name in MEETING_SCHEMA["properties"]} | {
        "title": "A title",
        "summary": "Late.",
    }
    whole |= {"key_points": ["It is late."] * 12, "decisions": ["Go.", "go", "Stay."]}
    value, warning = parse_answer(json.dumps(whole), MEETING_SCHEMA, own=True)
    assert value == whole | {"key_points": ["It is late."], "decisions": ["Go.", "Stay."]}
    assert "11 of key_points, 1 of decisions" in (warning or "")
    broken_off = '{"title":"A title","summary":"Late.","key_points":["It is late.","It is late.","It is'
    value, warning = parse_answer(broken_off, MEETING_SCHEMA, own=True)
    assert value["key_points"] == ["It is late."]
    assert "its end is missing" in (warning or "")
    assert "1 of key_points" in (warning or "")


def test_the_items_of_a_callers_list_stay_as_the_model_wrote_them() -> None:
    votes = object_schema(votes={"type": "array", "items": {"type": "string"}})
    assert parse_answer('{"votes": ["yes", "no", "yes"]}', votes) == ({"votes": ["yes", "no", "yes"]}, None)
    any_object = {"type": "object"}
    assert parse_answer('{"votes": ["yes", "yes"]}', any_object, own=True) == ({"votes": ["yes", "yes"]}, None)


def test_what_a_callers_schema_requires_is_never_made_up() -> None:
    assert parse_answer('{"b": "x', object_schema(a={"type": "string"}) | {"additionalProperties": True})[0] is None


def test_an_exponential_pattern_takes_linear_time() -> None:
    schema = object_schema(a={"type": "string", "pattern": "^(\\w+)+$"})
    assert parse_answer(json.dumps({"a": "a" * 5000 + "!"}), schema)[0] is None
    assert parse_answer(json.dumps({"a": "a" * 5000}), schema)[1] is None
