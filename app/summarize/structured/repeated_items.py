"""List items that a model wrote again: left out of the lists of an answer by the service's own schema.

Small models fall into loops inside a list. A caller's own schema may mean its repeats, so its data is never changed
(`app.summarize.structured.schema_tasks`). Knows nothing about why an answer ended.
"""

import re
from typing import Any

_WORD = re.compile(r"\w+")


def drop_repeated_items(value: Any, schema: dict[str, Any], cut: str = "") -> dict[str, int]:
    """Remove from each list that the schema names in an object every item that stands earlier in the same list. Texts
    are compared by their words, without case and punctuation.

    cut: name of the list in which the answer broke off. Its last item may be only the beginning of an earlier one;
    then it is removed too, and not counted. Returns how many items were removed from each list, by its name; lists
    that lost none are not in it.
    """
    removed: dict[str, int] = {}
    properties: dict[str, Any] = schema.get("properties", {})
    for name, items in value.items() if isinstance(value, dict) else ():
        if isinstance(items, list) and properties.get(name, {}).get("type") == "array":
            value[name], repeats = _without_repeats(items, name == cut)
            if repeats:
                removed[name] = repeats
    return removed


def _without_repeats(items: list[Any], cut: bool) -> tuple[list[Any], int]:
    """The items that stay, and how many were whole repeats."""
    kept: list[Any] = []
    said: list[Any] = []  # what is kept, as it is compared
    repeats = 0
    for number, item in enumerate(items, 1):
        words = _comparable(item)
        if words in said:
            repeats += 1
        elif not (cut and number == len(items) and any(_begins(words, one) for one in said)):
            kept.append(item)
            said.append(words)
    return kept, repeats


def _comparable(item: Any) -> Any:
    """An item with each text in it reduced to its words."""
    if isinstance(item, dict):
        return {name: _comparable(one) for name, one in item.items()}
    if isinstance(item, list):
        return [_comparable(one) for one in item]
    return _words(item) if isinstance(item, str) else item


def _begins(item: Any, whole: Any) -> bool:
    """Whether each text of an item is the beginning of the same text of another."""
    if isinstance(item, dict) and isinstance(whole, dict):
        return item.keys() == whole.keys() and all(_begins(item[name], whole[name]) for name in item)
    return isinstance(item, str) and isinstance(whole, str) and whole.startswith(item)


def _words(text: str) -> str:
    """The text's words in lower case, or the text itself if it has none."""
    return " ".join(_WORD.findall(text.casefold())) or text
