"""Which list items of an answer are removed as repeats."""

from typing import Any

import pytest

from app.summarize.structured.output_format import MEETING_SCHEMA
from app.summarize.structured.repeated_items import drop_repeated_items

CALL = {"who": "Ann", "what": "Call the printer.", "when": ""}


def test_a_loop_leaves_each_item_once_and_in_order() -> None:
    value = {"title": "A talk", "key_points": ["One is late.", "Two is lost.", "One is late", "two is lost.", "Three."]}
    assert drop_repeated_items(value, MEETING_SCHEMA) == {"key_points": 2}
    assert value == {"title": "A talk", "key_points": ["One is late.", "Two is lost.", "Three."]}


def test_items_that_are_objects_are_compared_by_all_their_texts() -> None:
    tomorrow = CALL | {"when": "tomorrow"}
    value: dict[str, Any] = {"action_items": [CALL, tomorrow, CALL | {"what": "call the printer"}]}
    assert drop_repeated_items(value, MEETING_SCHEMA) == {"action_items": 1}
    assert value["action_items"] == [CALL, tomorrow]


@pytest.mark.parametrize(
    "items", [[], ["One."], ["Press 6.", "Press 5."], ["Over 5 %.", "Over 5.5 %."], ["?", "!"], ["会议", "会议室"]]
)
def test_items_that_differ_stay(items: list[str]) -> None:
    value = {"key_points": list(items)}
    assert drop_repeated_items(value, MEETING_SCHEMA) == {}
    assert value["key_points"] == items


def test_the_same_words_may_stand_in_two_lists() -> None:
    value = {"key_points": ["We buy it."], "decisions": ["We buy it."]}
    assert drop_repeated_items(value, MEETING_SCHEMA) == {}


def test_the_beginning_of_a_repeat_goes_only_where_the_answer_broke_off() -> None:
    cut = {"who": "Ann", "what": "Call the", "when": ""}

    def repeated_answer() -> dict[str, Any]:
        return {"key_points": ["One is late.", "One is"], "action_items": [CALL, dict(cut)]}

    value = repeated_answer()
    assert drop_repeated_items(value, MEETING_SCHEMA, cut="action_items") == {}
    assert value == {"key_points": ["One is late.", "One is"], "action_items": [CALL]}
    assert drop_repeated_items(repeated_answer(), MEETING_SCHEMA) == {}


def test_a_list_that_the_schema_does_not_name_is_left_alone() -> None:
    for schema in ({"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}):
        value = {"a": [1, 1]}
        assert drop_repeated_items(value, schema) == {}
        assert value == {"a": [1, 1]}
