"""HTTP/1.1 on one connection, with limits on what it may send before the caller is known.

uvicorn's protocol for httptools limits neither the head of a request nor the time in which it arrives. This subclass
adds both, a limit on open connections, and errors in OpenAI's format. It also notices that a client has left while the
client's next request waits behind the present one (RFC 9112, section 9.3.2). Knows nothing about routes.
"""

import asyncio
import json
import logging
import uuid
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.core.errors import (
    HeadersTooLarge,
    InvalidRequest,
    RequestTimeout,
    ServiceError,
    TooLarge,
)
from app.server.open_connections import OpenConnections
from app.settings import ServerSettings, setting_name

log = logging.getLogger(__name__)

SLICE_BYTES = 16_384  # the limits are checked after each slice of this size
# Bytes that chunked encoding may add to a body: a fixed allowance, and a share of the body. Chunks of a few bytes each
# cost far more to parse than to send, and nobody reads chunk extensions and trailers.
FRAMING_GRACE_BYTES = 65_536
FRAMING_SHARE = 0.5
# What may wait behind a request that is being answered.
MAX_PIPELINED_REQUESTS = 16
MAX_PIPELINED_BYTES = 65_536
REFUSAL_SECONDS = 2.0  # a refused connection is still read for this long, so that its client can read the refusal


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        server_settings: the limits.
        open_connections: the connections of the server, shared by all of them.
        uvicorn: the arguments of uvicorn's protocol.
    """

    def __init__(self, *, server_settings: ServerSettings, open_connections: OpenConnections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.server_settings = server_settings
        self.open_connections = open_connections
        self._active: RequestResponseCycle | None = None  # the request that the application works on
        self._in_head = True  # also between two requests
        self._head_bytes = 0
        self._head_empty = True  # no byte of a head has arrived
        self._framing_bytes = 0
        self._body_bytes = 0
        self._queued_bytes = 0
        self._discarding = False  # whether everything that still arrives is thrown away
        self._skipping = False  # whether the present message is hidden from the application
        self._fault: ServiceError | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # --- The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        refusal = self.open_connections.add(self, self.client[0] if self.client else "")
        if refusal and self.open_connections.has_too_many_refused:
            self.abort()
        elif refusal:
            self._send_error_and_close(refusal)
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.remove(self)
        for timer in (self._head_timer, self._write_timer, self._close_timer, self.timeout_keep_alive_task):
            if timer:
                timer.cancel()
        if self._active and not self._active.response_complete:  # uvicorn notifies only the request that came last
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._active is None or self._active.response_complete

    def abort(self) -> None:
        """Close the connection at once."""
        self._discarding = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), SLICE_BYTES):
            if self._discarding or self.parser is None:
                return
            self._parse(view[start : start + SLICE_BYTES])

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.server_settings.write_seconds, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()

    # --- Incoming data

    def _parse(self, chunk: memoryview) -> None:
        if self._in_head:
            if self._head_empty:
                self._head_empty = False
                self._unset_keepalive_if_required()
                if self._head_timer is None:
                    self._start_head_timer()
            self._head_bytes += len(chunk)
        self._framing_bytes += len(chunk)
        try:
            try:
                self.parser.feed_data(chunk)
            except httptools.HttpParserUpgrade as upgrade:
                self._parse_without_upgrade(chunk[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._fault = self._fault or InvalidRequest(
                "The request is not valid HTTP/1.1 and cannot be read.", code="invalid_http"
            )
        if self._fault is None:
            self._fault = self._size_error()
        if self._fault:
            self._send_error_and_close(self._fault)

    def _parse_without_upgrade(self, rest: memoryview) -> None:
        """Parse the present head again without its `Upgrade` header, then the rest of the data.

        A server may ignore that header (RFC 9110, section 7.8). Java's HttpClient and `curl --http2` send it with every
        first request.
        """
        if self.parser.get_method() == b"CONNECT":
            raise httptools.HttpParserError("CONNECT")
        kept = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._in_head = True
        self.parser.feed_data(b"\r\n".join([first, *kept, b"", b""]))
        self.parser.feed_data(rest)

    def _size_error(self) -> ServiceError | None:
        """Return the error if the data that has arrived exceeds a limit, else None."""
        limits = self.server_settings
        if self._in_head and self._head_bytes > limits.header_bytes:
            return HeadersTooLarge(
                f"The head of the request has more than {limits.header_bytes} bytes. The setting is "
                f"{setting_name('server', 'header_bytes')}.",
                code="headers_too_large",
            )
        if self.headers is not None and len(self.headers) > limits.header_count:
            return HeadersTooLarge(
                f"The request has more than {limits.header_count} header lines. The setting is "
                f"{setting_name('server', 'header_count')}.",
                code="too_many_headers",
            )
        if not self._in_head and self._framing_bytes > FRAMING_GRACE_BYTES + FRAMING_SHARE * self._body_bytes:
            return TooLarge(
                "The chunks of the body are too small, or their extensions and trailers are too large. Send chunks of "
                "a few kilobytes, without extensions and trailers.",
                code="chunks_too_small",
            )
        return None

    # --- Callbacks of the parser

    def on_message_begin(self) -> None:
        self._skipping = self._discarding
        if not self._discarding:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._discarding:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are not kept. Of too many lines, only as many are kept as show that there are too many.
        if self._in_head and not self._discarding and len(self.headers) <= self.server_settings.header_count:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._framing_bytes, self._body_bytes = False, 0, 0
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
        self._skipping = True
        if self._discarding or self.parser.should_upgrade() or len(self.headers) > self.server_settings.header_count:
            return
        if not self.idle and len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            self._stop_parsing()
            return
        self._skipping = False
        super().on_headers_complete()
        if self.cycle is not self._active:
            self.flow.resume_reading()  # the client's leaving is only noticed on a connection that is read

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._framing_bytes -= len(body)
        if self._discarding or self._skipping:
            return
        if self.cycle is self._active:
            super().on_body(body)
            return
        self._queued_bytes += len(body)
        if self._queued_bytes > MAX_PIPELINED_BYTES:
            self._stop_parsing()
        else:
            self.cycle.body += body

    def on_message_complete(self) -> None:
        self._in_head, self._head_empty, self._head_bytes = True, True, 0
        if not self._discarding and not self._skipping:
            super().on_message_complete()

    # --- Responses

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        self._queued_bytes = sum(len(waiting.body) for waiting, _ in self.pipeline)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._active and self._active.more_body and not self.transport.is_closing():
            # `DrainRequestBody` has read as much as it does; a body that nobody reads would keep the connection open.
            self._close_after_reading()
        super().on_response_complete()
        if not self._head_empty and self._in_head:  # a head has begun to arrive, and heads have their own timer
            self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        self._send_error_and_close(InvalidRequest(msg, code="invalid_http"))

    # --- Timeouts, errors and closing

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.server_settings.header_seconds, self._on_head_timeout)

    def _on_head_timeout(self) -> None:
        if self._head_empty:
            self.transport.close()
            return
        self._send_error_and_close(
            RequestTimeout(
                f"The head of the request took longer than {self.server_settings.header_seconds:g} seconds. The "
                f"setting is {setting_name('server', 'header_seconds')}.",
                code="headers_timeout",
            )
        )

    def _stop_parsing(self) -> None:
        """Stop because too much waits behind the present request. Complete requests are answered, then the connection
        ends.
        """
        self._discarding = True
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._active
        if last is not None:
            last.keep_alive = False

    def _send_error_and_close(self, error: ServiceError) -> None:
        """Answer with an error that does not pass through the application, and close."""
        if self._discarding or self.transport.is_closing():
            return
        active = self._active
        if active is not None and not self.idle:
            if active is not self.cycle or not active.more_body:  # the error is in the next request
                self._stop_parsing()
                return
            active.disconnected = True
            active.message_event.set()
            if active.response_started:
                self.abort()
                return
        log.info("A connection from %s was refused: %s", self.client[0] if self.client else "?", error.message)
        body = json.dumps(error.body()).encode()
        headers = [
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
            b"x-should-retry: " + (b"false" if error.retry_after_s is None else b"true"),
            b"x-request-id: req_" + uuid.uuid4().hex.encode(),
        ]
        if error.retry_after_s is not None:
            headers.append(b"retry-after: %d" % round(error.retry_after_s))
        headers += [name + b": " + value for name, value in self.server_state.default_headers]
        self.transport.write(STATUS_LINE[error.status] + b"\r\n".join(headers) + b"\r\n\r\n" + body)
        self._close_after_reading()

    def _close_after_reading(self) -> None:
        """Close the connection when the client has closed it. To close it earlier would reset it, and the response
        would be lost.
        """
        self._discarding = True
        self._unset_keepalive_if_required()
        if self._head_timer:
            self._head_timer.cancel()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._close_timer = self.loop.call_later(REFUSAL_SECONDS, self.transport.abort)
