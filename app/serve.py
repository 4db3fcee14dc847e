"""Runs the service: first listens, then loads the model, then prints how to try it."""

import asyncio
import logging
import signal
import socket
from types import FrameType

from app.database.connection import check_database, configured_url
from app.server.sockets import open_listening_sockets
from app.settings import Settings

log = logging.getLogger(__name__)

EXIT_STOPPED, EXIT_FAILED = 0, 1
PROBE_PATHS = ("/startupz", "/livez", "/readyz", "/metrics")


class ProbeLogFilter(logging.Filter):
    """Leaves out of the access log the requests that orchestrators and Prometheus send every few seconds."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        # The record's arguments are the client, the method, the path with its query, the HTTP version and the status.
        return not (isinstance(record.args, tuple) and len(record.args) > 2 and record.args[2] in PROBE_PATHS)


def serve(settings: Settings) -> int:
    """Run the service until it is stopped.

    Returns:
        0 if it was stopped, 1 if its model could not be started.

    Raises:
        app.server.sockets.ListenError: if it cannot listen; before anything is loaded.
        app.database.errors.DatabaseUnusable: if its database cannot be opened; before anything is loaded.
        ValueError: if settings do not fit together.
    """
    sockets = open_listening_sockets(settings.host, settings.port)
    # After uvicorn has stopped, it raises its signal again. Before uvicorn runs, a signal ends the process.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        asyncio.run(check_database(configured_url(settings.jobs)))
        return _run_server(settings, sockets)
    finally:
        for listener in sockets:
            listener.close()


def _run_server(settings: Settings, sockets: list[socket.socket]) -> int:
    from app.main import create_app
    from app.server.draining_server import DrainingServer
    from app.server.uvicorn_config import raise_file_limit, uvicorn_config

    def announce_ready() -> None:
        if not server.started:  # the engine was faster than the server, which does not accept connections yet
            asyncio.get_running_loop().call_later(0.05, announce_ready)
            return
        host, port = sockets[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        if settings.log_format == "json":
            log.info("Ready.")
            return
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
        logging.getLogger("httpx").setLevel(
            logging.WARNING
        )  # at level INFO it logs every health check of a vLLM server
    server = DrainingServer(config, settings.timeouts.drain_seconds)
    server.run(sockets=sockets)
    return EXIT_STOPPED if app.state.service.failure is None else EXIT_FAILED


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(EXIT_STOPPED)
