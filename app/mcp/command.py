"""What the command `speechsum mcp` runs: the client of the service, and the transport that the server speaks."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.service_address import ANSWER_SECONDS, DEFAULT_URL, is_loopback
from app.settings import API_KEY_VARIABLE, URL_VARIABLE

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

LOOPBACK = "127.0.0.1"
HTTP_BODY_BYTES = 80_000_000  # room for the longest `audio_base64`


def run(server: str | None = None, roots: Sequence[str] = (), http_port: int | None = None) -> int:
    """Serve until the assistant closes standard input, or over HTTP until a signal. Returns the exit status.

    Args:
        server: Address of the service; None reads it from the environment.
        roots: Folders from which recordings may be read.
        http_port: Port of the loopback to serve HTTP on; None uses standard input and output.

    Raises:
        ValueError: The address is none, a root is no folder, the port cannot be used, or the client of the service is
            not installed.
    """
    try:
        import httpx
        from speechsum_client import AsyncClient, RetryPolicy
    except ImportError:
        raise ValueError("`speechsum mcp` needs the Python client: pip install ./clients/python") from None
    url = server or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    folders = [resolve_root(root) for root in roots]
    key = os.environ.get(API_KEY_VARIABLE) or None
    http = httpx.AsyncClient(trust_env=not is_loopback(url))
    client = AsyncClient(url, key, timeout=ANSWER_SECONDS, retry=RetryPolicy(retries=2), http=http)

    async def serve() -> None:
        from app.mcp.server import build_server

        async with http:
            mcp_server = build_server(client, url, folders)
            if listener is None:
                await mcp_server.run_stdio_async()
            else:
                await _serve_http(mcp_server, listener)

    listener = None if http_port is None else _listen(http_port)
    asyncio.run(serve())
    return 0


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        raise ValueError(f"--http {port}: the port of {LOOPBACK} cannot be used: {error}") from error


async def _serve_http(mcp_server: "MCPServer[Any]", listener: socket.socket) -> None:
    import uvicorn

    # With this host the SDK refuses requests under another name, as of a web page (DNS rebinding).
    app = mcp_server.streamable_http_app(host=LOOPBACK, max_request_body_size=HTTP_BODY_BYTES)
    print(f"The MCP server listens on http://{LOOPBACK}:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


def resolve_root(root: str) -> Path:
    """Return a root without links. Raises ValueError if it is no folder."""
    path = Path(root).expanduser()
    if not path.is_dir():
        raise ValueError(f"--root {root}: there is no such folder")
    return path.resolve()
