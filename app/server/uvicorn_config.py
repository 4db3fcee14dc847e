"""How the application is served over HTTP: uvicorn with the settings' bounds, and nobody's forwarded address believed
unless a setting names the proxy.

Knows nothing about routes.
"""

import logging
import resource
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from app.server.http_protocol import BoundedHttpProtocol
from app.server.open_connections import OpenConnections
from app.settings import Settings

log = logging.getLogger(__name__)

FILES_BESIDE_CONNECTIONS = 1024  # open files beside connections: recordings, samples, the database, the engine


def uvicorn_config(app: FastAPI, settings: Settings, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration for the application. more: over what the settings say."""
    server = settings.server
    protocol = partial(BoundedHttpProtocol, server_settings=server, open_connections=OpenConnections(server))
    given: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "timeout_graceful_shutdown": round(settings.timeouts.shutdown_seconds),
    }
    return uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        proxy_headers=bool(server.trusted_proxies),
        forwarded_allow_ips=server.trusted_proxies,
        timeout_keep_alive=server.idle_seconds,
        server_header=False,
        **{**given, **more},
    )


def raise_file_limit(settings: Settings) -> None:
    """Let the process open as many files as the settings allow connections, as far as the system permits."""
    needed = settings.server.connections + FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    within = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (within, hard))
    if within < needed:
        log.warning(
            "The process may open %d files, and %d connections may need %d. Raise the limit (ulimit -n), or lower "
            "SPEECHSUM_SERVER__CONNECTIONS.",
            within,
            settings.server.connections,
            needed,
        )
