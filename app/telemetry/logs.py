"""The form of the log: lines of text, or one JSON object a line with the request that it belongs to.

A line of JSON never holds what a caller sent: of an exception it has the type and the places in the code, but not the
message, which may quote a text; ids that give access to a job or a recording are shortened. Knows nothing about HTTP.
"""

import logging
import os
import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from app.telemetry.request_record import current_request
from app.telemetry.tracing import current_trace

LogFormat = Literal["text", "json"]
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Without API keys, whoever knows such an id has access. The digits that stay are enough to follow it in the log.
_ACCESS_ID = re.compile(r"\b((?:rec|job)-[0-9a-f]{8})[0-9a-f]+", re.IGNORECASE)
# vLLM sets up its own log, also in its processes, unless this variable names another set-up.
VLLM_LOGGING_VARIABLE, VLLM_LOGGING_FILE = "VLLM_LOGGING_CONFIG_PATH", Path(__file__).with_name("vllm_logging.json")

_FIELDS = ("level", "logger", "message", "time", "exception", "method", "route", "status", "duration_seconds")
# Libraries that quote at the level "debug" what they store and send, such as the texts of a job.
_QUOTING_LOGGERS = ("aiosqlite", "httpcore", "python_multipart")

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure_log(level: str, log_format: LogFormat) -> None:
    """Log to standard error.

    Args:
        level: "debug", "info", "warning" or "error".
        log_format: "text", or "json" for one object a line.
    """
    logging.basicConfig(level=level.upper(), format=TEXT_FORMAT)
    for name in _QUOTING_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    if log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLogFormatter())
        os.environ.setdefault(VLLM_LOGGING_VARIABLE, str(VLLM_LOGGING_FILE))


class JsonLogFormatter(JsonFormatter):
    """Writes a record as JSON: time, level, logger, message, what is known of the request, and the extra fields."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            timestamp="time",
            json_ensure_ascii=False,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add the request and the trace to a line, and leave out the fields that libraries have added."""
        request = current_request()
        known = {**(request.known_fields() if request else {}), **current_trace()}
        return known | {name: value for name, value in log_data.items() if name in _FIELDS}

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line, with ids that give access shortened."""
        return _ACCESS_ID.sub(r"\1…", super().jsonify_log_record(log_data))

    def formatException(self, ei: ExceptionInfo) -> str:
        """Return the types of an exception and its causes, each with the places that it passed."""
        error, seen = ei[1], set[int]()
        parts: list[str] = []
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = traceback.extract_tb(error.__traceback__)
            places = " < ".join(f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))
            parts.append(f"{type(error).__module__}.{type(error).__qualname__} at {places or 'an unknown place'}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return " caused by ".join(parts)


def _short(filename: str) -> str:
    """Return the last three parts of a path."""
    return "/".join(Path(filename).parts[-3:])
