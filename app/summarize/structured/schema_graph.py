"""A schema as a graph: what has to be read in the same place (references, allOf, anyOf, oneOf), and what comes after.

Both questions asked here are answered in time that grows with the schema's size, whatever its references do: how large
is each place once it is written out, and does an answer ever come to an end? Knows nothing about JSON texts.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Position = tuple[str, ...]  # the steps to a place in the schema
Positions = dict[Position, Any]  # what stands at each place: an object, true or false

# A compiler merges what is read in one place: every choice of one part with every choice of the others.
MAX_EXPANDED = 4000
_CAP = 10**12
SCALARS = {"string", "number", "integer", "boolean", "null"}


@dataclass(frozen=True)
class _Expansion:
    """choices: alternatives that one place comes to. size: parts in all of them together."""

    choices: int
    size: int

    def __and__(self, other: "_Expansion") -> "_Expansion":
        """Both at once: each choice of one with each of the other."""
        size = self.size * other.choices + other.size * self.choices
        return _Expansion(min(_CAP, self.choices * other.choices), min(_CAP, size))

    def __or__(self, other: "_Expansion") -> "_Expansion":
        return _Expansion(min(_CAP, self.choices + other.choices), min(_CAP, self.size + other.size))


def check_expansion(positions: Positions, targets: dict[Position, Position], error_type: type[ValueError]) -> None:
    """Raise `fault` for references that go in a circle without reading anything, and for a schema that grows beyond
    MAX_EXPANDED parts where its references and combinations are written out.
    """
    inside = {at: list(_merged_positions(at, node, targets)) for at, node in positions.items()}
    expansions: dict[Position, _Expansion] = {}
    waiting = {at: len(parts) for at, parts in inside.items()}
    users: dict[Position, list[Position]] = defaultdict(list)
    for at, parts in inside.items():
        for part in parts:
            users[part].append(at)
    ready = [at for at, count in waiting.items() if count == 0]
    while ready:
        at = ready.pop()
        expansions[at] = found = _expansion(at, positions[at], targets, expansions)
        if found.size > MAX_EXPANDED:
            raise error_type(
                f"grows to more than {MAX_EXPANDED} parts at {_position_text(at)} where its references and "
                "combinations are "
                "written out"
            )
        for user in users[at]:
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    if circular := [at for at in positions if at not in expansions]:
        raise error_type(f"refers in a circle at {_position_text(circular[0])}: nothing is read between the references")


def check_finite(positions: Positions, targets: dict[Position, Position], error_type: type[ValueError]) -> None:
    """Raise `fault` for a place that no finite answer can fill, such as an object that requires another like itself."""
    users: dict[Position, list[Position]] = defaultdict(list)
    for at, node in positions.items():
        for part in _needed_positions(at, node, targets):
            users[part].append(at)
    ending: set[Position] = set()
    open_ = list(positions)
    while open_:
        at = open_.pop()
        if at not in ending and _has_finite_value(at, positions[at], targets, ending):
            ending.add(at)
            open_ += users[at]
    for at, node in positions.items():
        if at not in ending and node is not False:
            raise error_type(f"cannot be followed by any answer that comes to an end, at {_position_text(at)}")


def _merged_positions(at: Position, node: Any, targets: dict[Position, Position]) -> Iterator[Position]:
    """The places whose schemas are read where this one is."""
    if isinstance(node, dict):
        if at in targets:
            yield targets[at]
        for keyword in ("allOf", "anyOf", "oneOf"):
            for index in range(len(node.get(keyword, ()))):
                yield (*at, keyword, str(index))


def _expansion(
    at: Position, node: Any, targets: dict[Position, Position], known: dict[Position, _Expansion]
) -> _Expansion:
    if not isinstance(node, dict):
        return _Expansion(1, 1)
    own = 1 + sum(len(node.get(name, ())) for name in ("properties", "patternProperties", "prefixItems", "enum"))
    whole = _Expansion(1, own)
    if at in targets:
        whole &= known[targets[at]]
    for index in range(len(node.get("allOf", ()))):
        whole &= known[(*at, "allOf", str(index))]
    for keyword in ("anyOf", "oneOf"):
        if keyword in node:
            either = known[(*at, keyword, "0")]
            for index in range(1, len(node[keyword])):
                either |= known[(*at, keyword, str(index))]
            whole &= either
    return whole


def _required_names(node: dict[str, Any]) -> list[str]:
    return [name for name in node.get("required", ()) if name in node.get("properties", {})]


def _needed_positions(at: Position, node: Any, targets: dict[Position, Position]) -> Iterator[Position]:
    """All places that may decide whether this one ends."""
    if isinstance(node, dict):
        yield from _merged_positions(at, node, targets)
        for name in _required_names(node):
            yield (*at, "properties", name)
        for index in range(len(node.get("prefixItems", ()))):
            yield (*at, "prefixItems", str(index))
        if "items" in node:
            yield (*at, "items")


def _has_finite_value(at: Position, node: Any, targets: dict[Position, Position], ending: set[Position]) -> bool:
    """Whether there is a finite value, as far as is known from the places that have one."""
    if not isinstance(node, dict):
        return bool(node)
    if "enum" in node or "const" in node:
        return True
    if at in targets and targets[at] not in ending:
        return False
    if any((*at, "allOf", str(index)) not in ending for index in range(len(node.get("allOf", ())))):
        return False
    for keyword in ("anyOf", "oneOf"):
        choices = range(len(node.get(keyword, ())))
        if choices and not any((*at, keyword, str(index)) in ending for index in choices):
            return False
    said = node.get("type", list(SCALARS))
    types = {said} if isinstance(said, str) else set(said)
    if types & SCALARS:
        return True
    if "object" in types and all((*at, "properties", name) in ending for name in _required_names(node)):
        return True
    return "array" in types and _has_finite_array(at, node, ending)


def _has_finite_array(at: Position, node: dict[str, Any], ending: set[Position]) -> bool:
    least, first = int(node.get("minItems", 0)), len(node.get("prefixItems", ()))
    if any((*at, "prefixItems", str(index)) not in ending for index in range(min(least, first))):
        return False
    return least <= first or "items" not in node or (*at, "items") in ending


def _position_text(at: Position) -> str:
    return ("#" + "".join(f"/{part}" for part in at))[:120]
