"""Configures uvicorn, which serves the application over HTTP.

uvicorn gets the limits of the settings, and believes no forwarded address unless a setting names the proxy. Knows
nothing about routes.
"""

import logging
import resource
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from app.server.access_log import shorten_paths
from app.server.http_protocol import BoundedHttpProtocol
from app.server.open_connections import OpenConnections
from app.settings import Settings

log = logging.getLogger(__name__)

FILES_BESIDE_CONNECTIONS = 1024  # files open besides connections: recordings, samples, the database, the engine


def uvicorn_config(app: ASGIApp, settings: Settings, **more: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for the application.

    Args:
        more: arguments of `uvicorn.Config` that override those of the settings.
    """
    shorten_paths()
    server = settings.server
    protocol = partial(BoundedHttpProtocol, server_settings=server, open_connections=OpenConnections(server))
    from_settings: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "timeout_graceful_shutdown": round(settings.timeouts.shutdown_seconds),
    }
    if settings.log_format == "json":  # the service logs the requests itself, and uvicorn's messages go with its own
        from_settings |= {"log_config": None, "access_log": False}
    return uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        proxy_headers=bool(server.trusted_proxies),
        forwarded_allow_ips=server.trusted_proxies,
        timeout_keep_alive=server.idle_seconds,
        server_header=False,
        **{**from_settings, **more},
    )


def raise_file_limit(settings: Settings) -> None:
    """Let the process open as many files as the settings allow connections, as far as the system permits.

    Logs a warning if the system's hard limit is too low.
    """
    needed = settings.server.connections + FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit < needed:
        log.warning(
            "The process may open %d files, and %d connections may need %d. Raise the limit (ulimit -n), or lower "
            "SPEECHSUM_SERVER__CONNECTIONS.",
            limit,
            settings.server.connections,
            needed,
        )
