"""Server-sent events (WHATWG HTML, 9.2) out of the bytes of an answer, however they are cut.

Lines end with LF or CRLF, which is what the service and proxies send; a lone CR is a part of its line. Knows nothing
about HTTP and about what the events say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DONE = "[DONE]"


@dataclass(frozen=True)
class ServerEvent:
    """One event. data: its text. id: what a client sends as `Last-Event-ID` when it connects again."""

    data: str
    id: str


class EventParser:
    """Parses one stream.

    Attributes:
        last_id: The id of the last event; empty if none had one.
        retry_s: Seconds after which the server wants the client to connect again; None if it did not say.
        is_alive: Whether an event came, or a comment, which is a sign of life.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        self.is_alive = False
        self._rest = b""
        self._data: list[str] = []
        self._id = last_id

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Yield the events that the bytes complete. An event that is not complete at the end of the stream is lost, as
        the standard says.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            event = self._read_line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _read_line(self, line: str) -> ServerEvent | None:
        if not line:
            data, self._data = self._data, []
            self.last_id = self._id
            self.is_alive = self.is_alive or bool(data)
            return ServerEvent("\n".join(data), self._id) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.is_alive = True
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None
