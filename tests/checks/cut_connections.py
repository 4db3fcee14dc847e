"""A way to a service that breaks: a proxy that cuts connections, in the upload, before the answer or in a stream."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 4096


@dataclass
class Cut:
    """Where a connection is cut: after so many bytes to the service, or when so many bytes have come back, of which the
    last are not passed on.
    """

    sent: int = 10**9
    received: int = 10**9


@dataclass
class CutWay:
    """The proxy. cuts: where the next connections are cut; those after them are not.

    Attributes:
        hold_at: Number of bytes after which a connection passes nothing on to the service, so that a test can look at
            an upload that is under way.
    """

    port: int
    cuts: list[Cut]
    hold_at: int = 10**9
    listener: socket.socket = field(default_factory=socket.socket)
    _open: set[socket.socket] = field(default_factory=set)
    _released: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def start(self) -> None:
        """Listen and pass on, until `close`."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_all(self) -> None:
        """Cut every connection that is open."""
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._released.set()
        self._released = threading.Event()

    def close(self) -> None:
        """Stop listening."""
        self.cut_all()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            cut = self.cuts.pop(0) if self.cuts else Cut()
            service = socket.create_connection(("127.0.0.1", self.port))
            self._open |= {client, service}
            threading.Thread(target=self._forward, args=(client, service, cut.sent, self.hold_at), daemon=True).start()
            threading.Thread(target=self._forward, args=(service, client, cut.received), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, most: int, hold_at: int = 10**9) -> None:
        count = 0
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                count += len(data)
                if count >= most:
                    break
                if count >= hold_at:
                    self._released.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread of the other direction
            end.close()  # what was sent and not read is refused, so that the sender notices
            self._open.discard(end)


@contextmanager
def cut_way(port: int, *cuts: Cut) -> Iterator[CutWay]:
    """Run the proxy to the service at this port of the loopback until the block ends; its first connections are cut."""
    way = CutWay(port, list(cuts))
    way.start()
    try:
        yield way
    finally:
        way.close()
