"""The tasks of the schema workers (`app.summarize.structured.schema_workers`): compiling a caller's schema with the
grammar compiler that enforces it, and parsing an answer with it.

This module imports little, because each worker process imports it. Knows nothing about engines or HTTP.
"""

import json
import resource
import time
from pathlib import Path
from typing import Any

import jsonschema_rs

from app.summarize.structured.repeated_items import drop_repeated_items
from app.summarize.structured.strict_json import JsonError, MalformedJson, loads
from app.summarize.structured.truncated_json import close_json, fill_missing

# The compiler runs again in the engine, in part on the event loop of all requests. Usual schemas take 1 to 20 ms.
MAX_COMPILE_MS = 200
# The compiler stops at so many symbols, after about 100 ms. At its default of 500,000 it would stop after seconds.
MAX_GRAMMAR_SYMBOLS = 50_000
MAX_ANSWER_DEPTH = 100  # levels of arrays and objects in an answer; a JSON encoder is recursive
PATTERN_OPTIONS = jsonschema_rs.RegexOptions(
    size_limit=10 << 20, dfa_size_limit=10 << 20
)  # linear time, no backtracking


def limit_process_memory(memory_bytes: int) -> None:
    """Limit this process to `memory_bytes` of address space beyond what it uses now, and let it write no core file."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, in_use + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def enforcement_error(schema: dict[str, Any]) -> str | None:
    """Return why the engine cannot enforce a schema, as the end of a sentence that begins "the schema"; None if it can.

    The compiler is llguidance, which vLLM's guidance backend uses, with the options of `app.engine.vllm_options`.
    """
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

    try:
        _validator(schema)
    except Exception as unusable:  # ValidationError, ReferencingError, ValueError: all are about the schema
        return f"cannot be used to check an answer: {_first_line(unusable)}"
    limits = LLParserLimits(max_grammar_size=MAX_GRAMMAR_SYMBOLS)
    started_at = time.process_time()
    try:
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults={"whitespace_flexible": False})
        error = LLMatcher(LLTokenizer("byte"), grammar, log_level=0, limits=limits).get_error()
    except Exception as raised:
        error = str(raised)
    elapsed_ms = 1000 * (time.process_time() - started_at)
    if error.startswith("oneOf"):  # the compiler then recommends an option that callers cannot set
        return "has a oneOf whose alternatives do not exclude each other, which cannot be enforced; use anyOf"
    if error:
        return f"cannot be enforced while the model writes: {_first_line(error)}"
    if elapsed_ms > MAX_COMPILE_MS:
        return f"takes {elapsed_ms:.0f} ms to compile; at most {MAX_COMPILE_MS} ms are accepted"
    return None


def parse_answer(text: str, schema: dict[str, Any], *, own: bool = False) -> tuple[Any, str | None]:
    """Return the value of an answer and a warning or None. The value is None if none follows the schema.

    The value can always be encoded as JSON.

    own: whether the schema is the service's and not a caller's. If it is, repeated list items are left out, and
    properties that an answer which broke off lacks are filled with empty texts and lists. The warning says so.
    """
    try:
        value = loads(text, MAX_ANSWER_DEPTH)
    except MalformedJson:
        return _parse_truncated_answer(text, schema, own)
    except JsonError as fault:
        return None, f"The answer {fault}: `structured` is null."
    if where := _schema_violation(value, schema):
        return None, f"The JSON does not follow the schema {where}: `structured` is null."
    return value, _repeats_warning(drop_repeated_items(value, schema)) if own else None


def _parse_truncated_answer(text: str, schema: dict[str, Any], own: bool) -> tuple[Any, str | None]:
    """Return the value of an answer that broke off, as far as it goes, and a warning."""
    for candidate in close_json(text):
        try:
            value = loads(candidate, MAX_ANSWER_DEPTH)
        except JsonError:
            continue
        last = next(reversed(value), "") if isinstance(value, dict) else ""
        missing = fill_missing(value, schema) if own else []
        if not _schema_violation(value, schema):
            sentences = ["The JSON broke off and was closed in `structured`; its end is missing."]
            sentences += [f"Nothing was written about {', '.join(missing)}."] if missing else []
            repeats = _repeats_warning(drop_repeated_items(value, schema, last)) if own else None
            return value, " ".join([*sentences, repeats] if repeats else sentences)
    return None, (
        "The answer broke off too early, or it is not JSON: `structured` is null, and `summary` holds what was written."
    )


def _repeats_warning(removed: dict[str, int]) -> str | None:
    """Return the warning about list items that were left out, or None if there are none."""
    if not removed:
        return None
    lists = ", ".join(f"{count} of {name}" for name, count in removed.items())
    return f"The model repeated list items, and the repeats are left out of `structured`: {lists}."


def _schema_violation(value: Any, schema: dict[str, Any]) -> str | None:
    """Return where a value does not follow the schema, or None if it does."""
    try:
        _validator(schema).validate(value)
    except jsonschema_rs.ValidationError as error:
        return "at " + ("/".join(str(part) for part in error.instance_path)[:200] or "its root")
    except Exception as error:
        return f"({_first_line(error)})"
    return None


def _validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=False, retriever=_refuse_external_schema, pattern_options=PATTERN_OPTIONS
    )


def _refuse_external_schema(uri: str) -> Any:
    raise ValueError("nothing outside the schema is read")


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
