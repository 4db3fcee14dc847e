"""Opens the sockets that the service listens on, before anything is loaded.

A port that is already in use is thus reported at once, and not after minutes of loading a model. Knows nothing about
HTTP.
"""

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

BACKLOG = 2048


class ListenError(ValueError):
    """The service cannot listen on the address. The message names the address, the reason and the settings."""


def open_listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of `host`, all on the same `port`. Port 0 takes a free one.

    Raises:
        ListenError: if the host has no address, the port is in use, or the address may not be used.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            chosen_port = sockets[0].getsockname()[1] if sockets else port
            sockets.append(_listening_socket(family, (address[0], chosen_port, *address[2:])))
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise ListenError(_listen_error_message(host, port, error)) from error
    return sockets


def _addresses(host: str, port: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    flags = socket.AI_PASSIVE
    seen = set()
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags):
        if address not in seen:
            seen.add(address)
            yield family, address


def _listening_socket(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        # On Linux two sockets with SO_REUSEADDR may be bound to one port until one of them listens.
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_error_message(host: str, port: int, error: OSError) -> str:
    settings = "Choose another with --host and --port, or the settings SPEECHSUM_HOST and SPEECHSUM_PORT."
    if isinstance(error, socket.gaierror):
        return f"The host {host!r} has no address to listen on: {error.strerror}. {settings}"
    if error.errno == errno.EADDRINUSE:
        return f"The port {port} on {host} is already taken by another program. {settings}"
    return f"The service cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}. {settings}"
