"""Which schemas callers may send, checked without fetching, compiling or waiting for anything."""

import json
import time
from typing import Any

import pytest

from app.summarize.structured.json_schema import InvalidSchema, parse_schema


def object_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def in_defs(a: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "$defs": {"a": a, **more}, "properties": {"x": {"$ref": "#/$defs/a"}}}


def doubling(levels: int, keyword: str) -> dict[str, Any]:
    """A schema of so many lines that is 2 to that power large once it is written out."""
    lines = {f"a{n + 1}": {keyword: [{"$ref": f"#/$defs/a{n}"}] * 2} for n in range(levels)}
    return {
        "type": "object",
        "$defs": {"a0": {"type": "string"}, **lines},
        "properties": {"x": {"$ref": f"#/$defs/a{levels}"}},
    }


def choice(n: int) -> dict[str, Any]:
    return {"anyOf": [{"properties": {f"p{n}": {"type": "integer"}}}, {"properties": {f"q{n}": {"type": "string"}}}]}


def refusal_message(schema: object) -> str:
    """Why a schema is refused, within a tenth of a second."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    began = time.thread_time()
    with pytest.raises(InvalidSchema) as caught:
        parse_schema(text)
    assert time.thread_time() - began < 0.1
    assert len(str(caught.value)) < 600
    return str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        *(
            "http://127.0.0.1:8123/latest/meta-data",
            "https://json-schema.org/draft/2020-12/schema",
            "file:///etc/passwd",
        ),
        *("//127.0.0.1/x", "other.json", "other.json#/a", "?x", "urn:uuid:1", "HTTP://x#/$defs/a", " #/$defs/a"),
    ],
)
def test_a_reference_that_leads_outside_is_refused(reference: str) -> None:
    for keyword in ("items", "additionalProperties"):
        assert "only references inside" in refusal_message(object_schema(a={keyword: {"$ref": reference}}))
    assert "only references inside" in refusal_message({"type": "object", "$ref": reference})
    assert "only references inside" in refusal_message(
        {"type": "object", "$id": "http://127.0.0.1/", **object_schema(a={"$ref": reference})}
    )
    assert "only references inside" in refusal_message(in_defs({"anyOf": [{"type": "string"}, {"$ref": reference}]}))


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/nothing", "#nothing", "#/properties", "#/required/0", "#/properties/a/const", "#/$defs/%zz", "#//"],
)
def test_a_reference_to_what_is_no_schema_here_is_refused(reference: str) -> None:
    assert "no schema in it" in refusal_message(object_schema(a={"const": {"type": "string"}}, b={"$ref": reference}))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "$ref": "#"},
        {"$ref": "#"},
        in_defs({"$ref": "#/$defs/a"}),
        in_defs({"$ref": "#/$defs/b"}, b={"$ref": "#/$defs/c"}, c={"$ref": "#/$defs/a"}),
        in_defs({"allOf": [{"$ref": "#/$defs/a"}]}),
        in_defs({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/a"}]}),
        in_defs({"oneOf": [{"type": "string"}, {"allOf": [{"$ref": "#/properties/x"}]}]}),
        in_defs({"$anchor": "me", "$ref": "#me"}),
    ],
)
def test_a_circle_that_reads_nothing_is_refused(schema: dict[str, Any]) -> None:
    assert "in a circle" in refusal_message(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        in_defs({"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}),
        in_defs({"type": "array", "prefixItems": [{"$ref": "#/$defs/a"}], "minItems": 1}),
        in_defs(object_schema(b={"$ref": "#/$defs/b"}), b=object_schema(a={"$ref": "#/$defs/a"})),
        in_defs({"anyOf": [object_schema(a={"$ref": "#/$defs/a"}), object_schema(b={"$ref": "#/$defs/a"})]}),
    ],
)
def test_a_schema_whose_answers_never_end_is_refused(schema: dict[str, Any]) -> None:
    assert "comes to an end" in refusal_message(schema)


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize("levels", [12, 24, 60])
def test_a_schema_that_doubles_with_every_line_is_refused(keyword: str, levels: int) -> None:
    assert "are expanded" in refusal_message(doubling(levels, keyword))


def test_choices_that_multiply_are_refused() -> None:
    assert "are expanded" in refusal_message({"type": "object", "allOf": [choice(n) for n in range(12)]})


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 10_000, "levels deep"),
        ('{"a":' * 600 + "1" + "}" * 600, "600 levels deep"),
        ("[]", '"type" is "object"'),
        ("true", '"type" is "object"'),
        ({"type": "array"}, '"type" is "object"'),
        ({"type": ["object", "null"]}, '"type" is "object"'),
        ({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}, '"type" is "object"'),
        ('{"type": "object", "title": "\\ud800"}', "surrogate"),
        ('{"type": "object", "properties": {"\\udc00": {}}}', "surrogate"),
        ('{"type": "object", "default": NaN}', "NaN"),
        ('{"type": "object", "default": -Infinity}', "Infinity"),
        ('{"type": "object", "default": 1e999}', "too large"),
        ('{"type": "object", "type": "object"}', "twice"),
        ('{"type": "object", "default": %s}' % ("9" * 5000), "digits"),
        ('{"type": "object", "minProperties": %s}' % ("9" * 30), "64 bits"),
        ({"type": "object", "title": "x" * 20_000}, "16384"),
        ({"type": "object", "required": [str(n) for n in range(600)]}, "at most 500"),
        (object_schema(a={"enum": list(range(600))}), "at most 500"),
        (object_schema(**{f"p{n}": {"type": "string"} for n in range(300)}), "at most 500"),
        ({"type": "object", "required": 3}, "is not a JSON Schema"),
        ({"type": "object", "properties": 3}, "not valid"),
        (object_schema(a=3), "not valid"),
        (object_schema(a={"anyOf": []}), "not valid"),
        (object_schema(a={"type": "strnig"}), "is not a JSON Schema"),
        (object_schema(a={"type": "string", "minLength": -1}), "is not a JSON Schema"),
        (object_schema(a={"multipleOf": 0}), "is not a JSON Schema"),
        (object_schema(a={"type": "array", "items": [{"type": "string"}]}), "prefixItems"),
        (object_schema(a={"type": "array", "maxItems": 100_000}), "4096"),
        (object_schema(a={"type": "array", "minItems": 100_000}), "4096"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}, "dialect"),
        ({"$schema": "http://127.0.0.1/schema", "type": "object"}, "dialect"),
        ({"$schema": 3, "type": "object"}, "dialect"),
        ({"$id": 3, "type": "object"}, r"\$id"),
        (object_schema(a={"$ref": 3}), r"\$ref"),
        (object_schema(a={"$anchor": "x"}, b={"$anchor": "x"}), r"\$anchor"),
    ],
)
def test_what_is_no_schema_is_refused_by_name(schema: object, why: str) -> None:
    import re

    assert re.search(why, refusal_message(schema))


@pytest.mark.parametrize(
    "keyword",
    [
        *("if", "then", "not", "contains", "unevaluatedProperties", "dependentSchemas", "$dynamicRef", "$recursiveRef"),
        *("$dynamicAnchor", "$id", "$schema", "$vocabulary", "nullable", "maximun", "dependencies", "additionalItems"),
    ],
)
def test_a_keyword_that_is_not_enforced_is_refused_where_it_stands(keyword: str) -> None:
    assert f"{keyword!r} at #/properties/a" in refusal_message(object_schema(a={keyword: {}}))
    assert f"{keyword!r} at #/$defs/a/items" in refusal_message(in_defs({"items": {keyword: {}}}))


def test_unique_items_are_refused_unless_they_ask_for_nothing() -> None:
    assert "'uniqueItems'" in refusal_message(object_schema(a={"type": "array", "uniqueItems": True}))
    assert parse_schema(json.dumps(object_schema(a={"type": "array", "uniqueItems": False}))) == object_schema(
        a={"type": "array"}
    )


@pytest.mark.parametrize(
    "schema",
    [
        object_schema(a={"type": "string", "pattern": "^((zaaa|[a-z]{3}){1,1000}){1,1000}$"}),
        object_schema(**{f"p{n}": {"type": "string", "pattern": "^(zaaa|[a-z]{3}){1,99}$"} for n in range(9)}),
        {"type": "object", "patternProperties": {"^(ab){3000}$": {}}},
        in_defs({"allOf": [{"pattern": "a{9999}"}]}),
    ],
)
def test_patterns_are_bounded_by_what_they_come_to(schema: dict[str, Any]) -> None:
    assert "4000 elements" in refusal_message(schema)


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?<!a)b", "[]a]", "(a"])
def test_a_pattern_beyond_linear_time_is_refused(pattern: str) -> None:
    assert "has a pattern at" in refusal_message(object_schema(a={"type": "string", "pattern": pattern}))
    assert "has a pattern at" in refusal_message({"type": "object", "patternProperties": {pattern: {}}})


@pytest.mark.parametrize(
    "schema",
    [
        object_schema(a={"type": ["string", "null"], "title": "A", "description": "What.", "examples": ["x"]}),
        object_schema(a={"type": "string", "pattern": "^(a+)+$"}),
        object_schema(a={"allOf": [{"type": "string"}, {"enum": ["x", "y"]}]}),
        object_schema(a={"anyOf": [{"const": n} for n in range(100)]}),
        {
            "type": "object",
            "$defs": {
                "n": object_schema(name={"type": "string"}, below={"type": "array", "items": {"$ref": "#/$defs/n"}})
            },
            "$ref": "#/$defs/n",
        },
        {"$defs": {"n": object_schema(next={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]})}, "$ref": "#/$defs/n"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "additionalProperties": {"type": "number", "multipleOf": 0.5}},
        {"type": "object", "properties": {"if": {"type": "string"}, "$ref": {"type": "string"}, "": {}, "a/b~c%": {}}},
    ],
)
def test_an_honest_schema_is_taken_as_it_is(schema: dict[str, Any]) -> None:
    assert parse_schema(json.dumps(schema)) == schema


def test_a_schema_is_read_without_its_name_and_its_comments() -> None:
    named = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/meeting.json",
        "$comment": "x",
        "type": "object",
        "x-guidance": {"lenient": True},
        "properties": {"a": {"oneOf": [{"type": "string"}], "discriminator": {"propertyName": "k"}}},
        "propertyNames": {"type": "string"},
    }
    assert parse_schema(json.dumps(named)) == {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}]}}}


@pytest.mark.parametrize(
    ("reference", "as_pointer"),
    [
        ("#here", "#/properties/a~1b%20c"),
        ("#/properties/a~1b c", "#/properties/a~1b%20c"),
        ("#/properties/a%7E1b%20c", "#/properties/a~1b%20c"),
    ],
)
def test_every_reference_becomes_a_plain_pointer(reference: str, as_pointer: str) -> None:
    schema = parse_schema(
        json.dumps(object_schema(**{"a/b c": {"$anchor": "here", "type": "string"}, "d": {"$ref": reference}}))
    )
    assert schema["properties"]["d"] == {"$ref": as_pointer}
