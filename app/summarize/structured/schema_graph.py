"""Analyses a schema as a graph, in which references, allOf, anyOf and oneOf connect positions that apply to one value.

It answers two questions, in time that grows with the schema's size whatever its references are: how large is each
position once its references and combinations are expanded, and can a finite answer follow the schema? Knows nothing
about JSON texts.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Position = tuple[str, ...]  # the steps to a subschema
Positions = dict[Position, Any]  # the subschema at each position: an object, true or false

# A compiler merges the subschemas that apply to one value: every choice of one with every choice of the others.
MAX_EXPANDED = 4000
_CAP = 10**12
SCALARS = {"string", "number", "integer", "boolean", "null"}


@dataclass(frozen=True)
class _Expansion:
    """The size of an expanded position.

    choices: number of alternatives. size: number of parts in all alternatives together.
    """

    choices: int
    size: int

    def __and__(self, other: "_Expansion") -> "_Expansion":
        """Return the expansion of two schemas that both apply: each choice of one with each choice of the other."""
        size = self.size * other.choices + other.size * self.choices
        return _Expansion(min(_CAP, self.choices * other.choices), min(_CAP, size))

    def __or__(self, other: "_Expansion") -> "_Expansion":
        return _Expansion(min(_CAP, self.choices + other.choices), min(_CAP, self.size + other.size))


def check_expansion(positions: Positions, targets: dict[Position, Position], error_type: type[ValueError]) -> None:
    """Raise an error for circular references, and for a position with more than MAX_EXPANDED parts once expanded.

    Args:
        positions: The subschemas.
        targets: The position that each reference points to, by the position of the reference.
        error_type: The class of the error, whose message is the end of a sentence that begins "the schema".
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
        expansions[at] = expansion = _expansion(at, positions[at], targets, expansions)
        if expansion.size > MAX_EXPANDED:
            raise error_type(
                f"grows to more than {MAX_EXPANDED} parts at {_position_text(at)} when its references and "
                "combinations are expanded"
            )
        for user in users[at]:
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    if circular := [at for at in positions if at not in expansions]:
        raise error_type(f"refers in a circle at {_position_text(circular[0])}: nothing is read between the references")


def check_finite(positions: Positions, targets: dict[Position, Position], error_type: type[ValueError]) -> None:
    """Raise an error for a position that no finite value can follow, such as an object that requires itself.

    The parameters are those of `check_expansion`.
    """
    users: dict[Position, list[Position]] = defaultdict(list)
    for at, node in positions.items():
        for part in _needed_positions(at, node, targets):
            users[part].append(at)
    finite: set[Position] = set()
    pending = list(positions)
    while pending:
        at = pending.pop()
        if at not in finite and _has_finite_value(at, positions[at], targets, finite):
            finite.add(at)
            pending += users[at]
    for at, node in positions.items():
        if at not in finite and node is not False:
            raise error_type(f"cannot be followed by any answer that comes to an end, at {_position_text(at)}")


def _merged_positions(at: Position, node: Any, targets: dict[Position, Position]) -> Iterator[Position]:
    """Yield the positions whose schemas apply to the same value as this one."""
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
    """Yield all positions that may decide whether a finite value can follow this one."""
    if isinstance(node, dict):
        yield from _merged_positions(at, node, targets)
        for name in _required_names(node):
            yield (*at, "properties", name)
        for index in range(len(node.get("prefixItems", ()))):
            yield (*at, "prefixItems", str(index))
        if "items" in node:
            yield (*at, "items")


def _has_finite_value(at: Position, node: Any, targets: dict[Position, Position], finite: set[Position]) -> bool:
    """Return whether a finite value can follow a position, given the positions that are known to be finite."""
    if not isinstance(node, dict):
        return bool(node)
    if "enum" in node or "const" in node:
        return True
    if at in targets and targets[at] not in finite:
        return False
    if any((*at, "allOf", str(index)) not in finite for index in range(len(node.get("allOf", ())))):
        return False
    for keyword in ("anyOf", "oneOf"):
        choices = range(len(node.get(keyword, ())))
        if choices and not any((*at, keyword, str(index)) in finite for index in choices):
            return False
    type_names = node.get("type", list(SCALARS))
    types = {type_names} if isinstance(type_names, str) else set(type_names)
    if types & SCALARS:
        return True
    if "object" in types and all((*at, "properties", name) in finite for name in _required_names(node)):
        return True
    return "array" in types and _has_finite_array(at, node, finite)


def _has_finite_array(at: Position, node: dict[str, Any], finite: set[Position]) -> bool:
    least, first = int(node.get("minItems", 0)), len(node.get("prefixItems", ()))
    if any((*at, "prefixItems", str(index)) not in finite for index in range(min(least, first))):
        return False
    return least <= first or "items" not in node or (*at, "items") in finite


def _position_text(at: Position) -> str:
    return ("#" + "".join(f"/{part}" for part in at))[:120]
