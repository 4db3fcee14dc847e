"""Runs the service: listens first, then loads, then says how to try it."""

import asyncio
import logging
import signal
import socket
from types import FrameType

from app.database.connection import check_database, configured_url
from app.server.sockets import open_listening_sockets
from app.settings import Settings

EXIT_STOPPED, EXIT_FAILED = 0, 1
PROBE_PATHS = ("/livez", "/readyz", "/metrics")


class ProbeLogFilter(logging.Filter):
    """Keeps the requests that orchestrators and Prometheus send every few seconds out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        # uvicorn's arguments are the client, the method, the path with its query, the HTTP version and the status.
        return not (isinstance(record.args, tuple) and len(record.args) > 2 and record.args[2] in PROBE_PATHS)


def serve(settings: Settings) -> int:
    """Run the service until it is stopped; return 0 if it was stopped and 1 if its model could not be started.

    Raises `app.server.sockets.ListenError` and `app.database.errors.DatabaseUnusable` before anything is loaded, and
    ValueError for settings that make no sense.
    """
    sockets = open_listening_sockets(settings.host, settings.port)
    # uvicorn raises the signal that stopped it once more when it is done; until it runs, a signal ends the process.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        asyncio.run(check_database(configured_url(settings.jobs)))
        return _run_server(settings, sockets)
    finally:
        for one in sockets:
            one.close()


def _run_server(settings: Settings, sockets: list[socket.socket]) -> int:
    import uvicorn

    from app.main import create_app
    from app.server.uvicorn_config import raise_file_limit, uvicorn_config

    def announce_ready() -> None:
        if not server.started:  # a fast engine; nothing is accepted yet
            asyncio.get_running_loop().call_later(0.05, announce_ready)
            return
        host, port = sockets[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(
            f"\nReady. Try it on a recording of someone talking:\n\n"
            f"  curl http://{host}:{port}/v1/audio/summaries -F file=@recording.wav -F stream=true -N\n",
            flush=True,
        )

    def stop_server() -> None:
        server.should_exit = True

    app = create_app(settings, on_ready=announce_ready, on_failure=stop_server)
    raise_file_limit(settings)
    config = uvicorn_config(app, settings)
    if settings.log_level != "debug":
        logging.getLogger("uvicorn.access").addFilter(ProbeLogFilter())
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every health check of a remote server
    server = uvicorn.Server(config)
    server.run(sockets=sockets)
    return EXIT_STOPPED if app.state.service.failure is None else EXIT_FAILED


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(EXIT_STOPPED)
