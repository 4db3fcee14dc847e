"""A value that the strict parser accepts can always be encoded again."""

import json

import pytest

from app.summarize.structured.strict_json import JsonError, MalformedJson, loads, nesting_depth


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 2000 + "]" * 2000, "2000 levels"),
        ("[" * 100_000, "100000 levels"),
        ('{"a": NaN}', "NaN"),
        ("[Infinity]", "Infinity"),
        ("[-Infinity]", "Infinity"),
        ("[1e999]", "too large"),
        ("[-1e999]", "too large"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('{"b": [{"a": 1, "c": 3, "a": 2}]}', "'a' twice"),
        (r'"\ud800"', "surrogate"),
        (r'{"\udfff": 1}', "surrogate"),
        (r'[[{"a": "x\ud83d y"}]]', "surrogate"),
    ],
)
def test_what_cannot_be_written_out_again_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(JsonError, match=said):
        loads(text, 100)


@pytest.mark.parametrize("text", ["", "{", '{"a": ', '{"a": "b', "nul", "Hello.", '{"a": "\n"}', "9" * 5000, "{}{}"])
def test_what_is_cut_or_malformed_is_told_apart(text: str) -> None:
    with pytest.raises(MalformedJson):
        loads(text, 100)


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, "\\ud83d\\ude00", null, {"b": true}]}', '"[[[["', "3", '["\\"[{"]'])
def test_everything_else_is_read_as_it_is(text: str) -> None:
    assert loads(text, 3) == json.loads(text)


def test_brackets_inside_texts_do_not_nest() -> None:
    assert nesting_depth(r'{"a\"[[[": ["}}}", "[\\", {}]}') == 3
    assert nesting_depth('["[[[[') == 1


def test_many_names_and_an_unclosed_text_take_linear_time() -> None:
    many = json.dumps({str(n): n for n in range(100_000)})
    with pytest.raises(JsonError, match="twice"):
        loads(many[:-1] + ', "99999": 1}', 3)
    assert nesting_depth('"\\' * 100_000) == 0
