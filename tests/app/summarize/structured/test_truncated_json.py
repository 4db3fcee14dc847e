"""A cut JSON text is closed where it ends, or after its last whole value."""

import json

import pytest

from app.summarize.structured.truncated_json import close_json, fill_missing


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ('{"a": "on', [{"a": "on"}, {}]),
        ('{"a": 1, "b": "on', [{"a": 1, "b": "on"}, {"a": 1}]),
        ('{"a": 1, "b": [1, 2', [{"a": 1, "b": [1]}]),
        ('{"a": 1, "b": [1, 2,', [{"a": 1, "b": [1, 2]}]),
        ('{"a": 1, "b": [', [{"a": 1, "b": []}]),
        ('{"a": 1, "b', [{"a": 1}]),
        ('{"a": 1, "b"', [{"a": 1}]),
        ('{"a": 1, "b":', [{"a": 1}]),
        ('{"a": 1, "b": tru', [{"a": 1}]),
        ('{"a": 1, "b": true', [{"a": 1}]),
        ('{"a": {"b": [{"c": "d"}, {"c": "e', [{"a": {"b": [{"c": "d"}, {"c": "e"}]}}, {"a": {"b": [{"c": "d"}, {}]}}]),
        ('{"a": "x\\', [{"a": "x"}, {}]),
        ('{"a": "x\\\\', [{"a": "x\\"}, {}]),
        ('{"a": "x\\u00', [{"a": "x"}, {}]),
        ('{"a": "x\\ud83d', [{"a": "x"}, {}]),
        ('{"a": "x\\ud83d\\ude00', [{"a": "x\U0001f600"}, {}]),
        ("{", [{}]),
        ('["a", "', [["a", ""], ["a"]]),
    ],
)
def test_a_cut_text_is_closed(text: str, candidates: list[object]) -> None:
    assert [json.loads(one) for one in close_json(text)] == candidates


@pytest.mark.parametrize("text", ["", "Hello.", '{"a": 1}', "{}}", "[}", '"text', "12"])
def test_a_text_with_nothing_to_close_has_no_closed_form(text: str) -> None:
    assert list(close_json(text)) == []


def test_a_cut_anywhere_gives_json() -> None:
    whole = json.dumps({"a": ["x\n\u00e9\U0001f600", {"b": -1.5e3, "c": [True, None, []]}], "d": {"e": 'f"'}})
    for end in range(1, len(whole)):
        for candidate in close_json(whole[:end]):
            json.loads(candidate)
        assert list(close_json(whole[:end]))


def test_what_is_missing_is_filled_with_nothing() -> None:
    item = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": item}, "n": {"type": "integer"}},
        "required": ["a", "b", "n"],
    }
    value = {"b": [{}, {"who": "Ann"}]}
    assert fill_missing(value, schema) == ["a"]
    assert value == {"a": "", "b": [{"who": ""}, {"who": "Ann"}]}
