"""Checks the JSON Schemas that callers send.

A caller may use a part of draft 2020-12 that the engine can enforce token by token, in which every reference stays
inside the schema, and whose size stays bounded after all references are expanded. A schema that passes is cheap to work
with: no URL is ever fetched, no reference is circular, and no pattern needs more than linear time. What the engine's
grammar compiler still cannot enforce is found by the compiler itself (`app.summarize.structured.schema_tasks`). Knows
nothing about engines or HTTP.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import jsonschema_rs

from app.summarize.structured.pattern_cost import UnsupportedPattern, pattern_cost
from app.summarize.structured.schema_graph import Positions, check_expansion, check_finite
from app.summarize.structured.strict_json import JsonError, loads

MAX_CHARACTERS = 16_384
MAX_DEPTH = 32  # levels of arrays and objects in the schema; it needs about two for each level of an answer
MAX_NODES = 500  # number of values in the schema
MAX_COUNT = 4096  # the highest minItems, maxItems, minProperties or maxProperties; an answer has no room for more
MAX_INTEGER = 2**63 - 1
# The limit for all patterns of a schema together. The grammar compiler gives up at about 7,000 nested repetitions.
MAX_PATTERN_ELEMENTS = 4000

DIALECTS = ("draft/2020-12/schema", "draft/2019-09/schema", "draft-07/schema", "draft-06/schema")
MAP_KEYWORDS = ("properties", "patternProperties", "$defs", "definitions")  # keywords with named schemas inside
LIST_KEYWORDS = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLE_KEYWORDS = ("items", "additionalProperties")
PLAIN_KEYWORDS = (
    *("type", "enum", "const", "required", "$ref"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
)
ANNOTATION_KEYWORDS = (
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    *("contentEncoding", "contentMediaType"),
)
SUPPORTED_KEYWORDS = {*MAP_KEYWORDS, *LIST_KEYWORDS, *SINGLE_KEYWORDS, *PLAIN_KEYWORDS, *ANNOTATION_KEYWORDS}
DROPPED_KEYWORDS = ("$comment", "$anchor", "discriminator")  # not needed once references are resolved


class InvalidSchema(ValueError):
    """The schema cannot be used. The message is the end of a sentence that begins "the schema"."""


def parse_schema(text: str) -> dict[str, Any]:
    """Return a caller's schema in the form that the engine gets.

    It has no identifiers and comments, and each reference is a plain JSON pointer. This takes milliseconds for any
    text. Raises InvalidSchema if the schema cannot be used.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidSchema(f"has {len(text)} characters; at most {MAX_CHARACTERS} are accepted")
    try:
        schema = loads(text, MAX_DEPTH)
    except JsonError as fault:
        raise InvalidSchema(str(fault)) from None
    if not isinstance(schema, dict):
        raise InvalidSchema('must be an object whose "type" is "object"')
    check_schema_size(schema)
    schema = _strip_identity(schema)
    positions: Positions = {}
    anchors: dict[str, tuple[str, ...]] = {}
    _collect_positions((), schema, positions, anchors)
    for at, node in positions.items():
        if isinstance(node, dict):
            _check_keywords(at, node)
            if "$ref" in node:
                node["$ref"] = _pointer(_reference_target(at, node["$ref"], positions, anchors))
    targets = {
        at: _pointer_steps(node["$ref"]) for at, node in positions.items() if isinstance(node, dict) and "$ref" in node
    }
    _check_metaschema(schema)
    check_expansion(positions, targets, InvalidSchema)
    check_finite(positions, targets, InvalidSchema)
    _check_patterns(positions)
    if not _is_object(schema, positions, targets):
        raise InvalidSchema('must be an object whose "type" is "object"')
    return schema


def position_text(at: tuple[str, ...]) -> str:
    """Return a position in a schema as a message names it."""
    return f"at {_pointer(at)}"[:120]


def check_schema_size(schema: Any) -> None:
    """Raise InvalidSchema if a schema has too many values, too long texts or too large integers.

    However large the value is, this takes no longer than for a schema that is accepted.
    """
    nodes, characters, pending = 1, 0, [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list):
            nodes += len(value)
            if nodes > MAX_NODES:
                raise InvalidSchema(f"has {nodes} parts or more; at most {MAX_NODES} are accepted")
            pending += value.values() if isinstance(value, dict) else value
            characters += sum(map(len, value)) if isinstance(value, dict) else 0
        elif isinstance(value, str):
            characters += len(value)
        elif isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise InvalidSchema("holds an integer beyond 64 bits")
        if characters > MAX_CHARACTERS:
            raise InvalidSchema(f"has {characters} characters or more; at most {MAX_CHARACTERS} are accepted")


def _strip_identity(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without its `$schema` and `$id`. References to them are not local and are refused later."""
    dialect = schema.get("$schema")
    if dialect is not None and not (
        isinstance(dialect, str) and dialect.rstrip("#").split("://")[-1].removeprefix("json-schema.org/") in DIALECTS
    ):
        raise InvalidSchema(f"is in the dialect {str(dialect)[:80]!r}; it is read as draft 2020-12 only")
    if not isinstance(schema.get("$id", ""), str):
        raise InvalidSchema("has an $id that is not a text")
    return {name: value for name, value in schema.items() if name not in ("$schema", "$id")}


def _collect_positions(
    at: tuple[str, ...], node: Any, positions: Positions, anchors: dict[str, tuple[str, ...]]
) -> None:
    """Add every subschema to `positions`, and remove keywords that forbid nothing from it."""
    if not isinstance(node, dict | bool):
        raise InvalidSchema(f"is not valid {position_text(at)}: a schema is an object, true or false")
    positions[at] = node
    if isinstance(node, bool):
        return
    if (anchor := node.get("$anchor")) is not None:
        if not isinstance(anchor, str) or anchor in anchors:
            raise InvalidSchema(
                f"has an $anchor {position_text(at)} that is not a text, or not the only one of its name"
            )
        anchors[anchor] = at
    for name in [name for name, value in node.items() if _is_ignored_keyword(name, value)]:
        del node[name]
    for step, child in _child_schemas(at, node):
        _collect_positions((*at, *step), child, positions, anchors)


def _is_ignored_keyword(name: str, value: Any) -> bool:
    """Return whether a keyword forbids nothing.

    Names that begin with x- belong to their authors. They are removed because some grammar compilers take options from
    them.
    """
    if name == "propertyNames":
        return value in (True, {}, {"type": "string"})
    return name in DROPPED_KEYWORDS or name.startswith("x-") or (name == "uniqueItems" and value is False)


def _child_schemas(at: tuple[str, ...], node: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the schemas directly inside a schema, each with the steps to it."""
    for keyword in MAP_KEYWORDS:
        if keyword in node:
            if not isinstance(node[keyword], dict):
                raise InvalidSchema(f"is not valid {position_text((*at, keyword))}: {keyword} is an object of schemas")
            for name, child in node[keyword].items():
                yield (keyword, name), child
    for keyword in LIST_KEYWORDS:
        if keyword in node:
            if not isinstance(node[keyword], list) or not node[keyword]:
                raise InvalidSchema(f"is not valid {position_text((*at, keyword))}: {keyword} is a list of schemas")
            for index, child in enumerate(node[keyword]):
                yield (keyword, str(index)), child
    for keyword in SINGLE_KEYWORDS:
        if keyword in node:
            if isinstance(node[keyword], list):
                raise InvalidSchema(
                    f"has a list {position_text((*at, keyword))}; since draft 2020-12 that is prefixItems"
                )
            yield (keyword,), node[keyword]


def _check_keywords(at: tuple[str, ...], node: dict[str, Any]) -> None:
    if unknown := sorted(set(node) - SUPPORTED_KEYWORDS):
        known = ", ".join(sorted(SUPPORTED_KEYWORDS))
        raise InvalidSchema(
            f"uses {unknown[0][:60]!r} {position_text(at)}, which this service does not enforce. It enforces {known}"
        )
    for name in ("minItems", "maxItems", "minProperties", "maxProperties"):
        count = node.get(name, 0)
        if isinstance(count, int | float) and count > MAX_COUNT:
            raise InvalidSchema(f"asks for {name} {count} {position_text(at)}; at most {MAX_COUNT} are accepted")


def _check_metaschema(schema: dict[str, Any]) -> None:
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    except jsonschema_rs.ValidationError as error:
        where = position_text(tuple(map(str, error.instance_path)))
        raise InvalidSchema(f"is not a JSON Schema {where}: {error.message[:200]}") from None


def _reference_target(
    at: tuple[str, ...], reference: Any, positions: Positions, anchors: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the position that a reference points to."""
    if not isinstance(reference, str):
        raise InvalidSchema(f"has a $ref {position_text(at)} that is not a text")
    if not reference.startswith("#"):
        raise InvalidSchema(
            f"refers to {reference[:80]!r} {position_text(at)}; only references inside the schema, such as "
            "#/$defs/name, are followed"
        )
    fragment = unquote(reference[1:])
    target = _pointer_steps(reference) if fragment == "" or fragment.startswith("/") else anchors.get(fragment)
    if target is None or target not in positions:
        raise InvalidSchema(
            f"refers to {reference[:80]!r} {position_text(at)}, and there is no schema in it at that place"
        )
    return target


def _pointer_steps(reference: str) -> tuple[str, ...]:
    """Return the steps of a JSON pointer in a URI fragment (RFC 6901, section 6)."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in unquote(reference[1:]).split("/")[1:])


def _pointer(at: tuple[str, ...]) -> str:
    return "#" + "".join("/" + quote(part.replace("~", "~0").replace("/", "~1"), safe="~$") for part in at)


def _check_patterns(positions: Positions) -> None:
    total = 0
    for at, node in positions.items():
        if not isinstance(node, dict):
            continue
        for pattern in ([node["pattern"]] if "pattern" in node else []) + list(node.get("patternProperties", ())):
            try:
                total += pattern_cost(pattern)
            except UnsupportedPattern as fault:
                raise InvalidSchema(f"has a pattern {position_text(at)} that {fault}") from None
            if total > MAX_PATTERN_ELEMENTS:
                raise InvalidSchema(
                    f"has patterns that come to more than {MAX_PATTERN_ELEMENTS} elements once their repetitions are "
                    f"written out, {position_text(at)}"
                )


def _is_object(schema: dict[str, Any], positions: Positions, targets: dict[tuple[str, ...], tuple[str, ...]]) -> bool:
    """Return whether the root's type is "object", its own or that of the schema it refers to.

    The references have been checked and are not circular.
    """
    at: tuple[str, ...] = ()
    node: Any = schema
    while isinstance(node, dict) and "type" not in node and at in targets:
        at = targets[at]
        node = positions[at]
    return isinstance(node, dict) and node.get("type") == "object"
