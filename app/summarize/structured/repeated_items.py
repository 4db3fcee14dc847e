"""Removes repeated items from the lists of an answer that follows the service's own schema.

Small models fall into loops inside a list. Under a caller's own schema repeats may be intended, so that such an answer
is never changed (`app.summarize.structured.schema_tasks`). Knows nothing about why an answer ended.
"""

import re
from typing import Any

_WORD = re.compile(r"\w+")


def drop_repeated_items(value: Any, schema: dict[str, Any], cut: str = "") -> dict[str, int]:
    """Remove every item that occurs earlier in the same list, from each list property in the schema.

    Texts are compared by their words, without case and punctuation.

    Args:
        value: The parsed answer, which is changed in place.
        schema: Its JSON Schema.
        cut: Name of the list in which the answer broke off. If its last item is only the beginning of an earlier one,
            it is removed too, but not counted.

    Returns:
        How many items were removed from each list, by its name, without lists that lost none.
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
    """Return the items that stay, and the number of whole repeats."""
    kept: list[Any] = []
    kept_words: list[Any] = []  # the kept items in the form in which they are compared
    repeats = 0
    for number, item in enumerate(items, 1):
        words = _comparable(item)
        if words in kept_words:
            repeats += 1
        elif not (cut and number == len(items) and any(_is_beginning(words, one) for one in kept_words)):
            kept.append(item)
            kept_words.append(words)
    return kept, repeats


def _comparable(item: Any) -> Any:
    """Return an item with each text in it reduced to its words."""
    if isinstance(item, dict):
        return {name: _comparable(one) for name, one in item.items()}
    if isinstance(item, list):
        return [_comparable(one) for one in item]
    return _words(item) if isinstance(item, str) else item


def _is_beginning(item: Any, whole: Any) -> bool:
    """Return whether each text of an item is the beginning of the same text of another item."""
    if isinstance(item, dict) and isinstance(whole, dict):
        return item.keys() == whole.keys() and all(_is_beginning(item[name], whole[name]) for name in item)
    return isinstance(item, str) and isinstance(whole, str) and whole.startswith(item)


def _words(text: str) -> str:
    """Return the words of a text in lower case, or the text itself if it has no words."""
    return " ".join(_WORD.findall(text.casefold())) or text
