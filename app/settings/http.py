"""Settings of what the service speaks HTTP with: its own server, the holders of API keys, and hosts that it fetches
recordings from.
"""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from app.setting_types import CommaSeparated
from app.settings.section import Section


class ServerSettings(Section):
    """The HTTP server: limits of one connection before the caller is known, and the reverse proxies in front of it."""

    header_bytes: int = Field(
        65_536,
        ge=1024,
        description="Largest head of a request (its request line and its header lines), in bytes.",
    )
    header_count: int = Field(100, ge=1, description="Most header lines of a request.")
    header_seconds: float = Field(
        10,
        gt=0,
        description="Longest time in which the head of a request must arrive, and longest silence of a new connection, "
        "in seconds.",
    )
    idle_seconds: int = Field(
        5, ge=1, description="Time that a connection stays open between two requests, in seconds."
    )
    write_seconds: float = Field(
        60,
        gt=0,
        description="Longest time that a client may read nothing of its response before the connection is closed, in "
        "seconds.",
    )
    connections: int = Field(
        1024, ge=1, description="Most open connections. One more replaces an idle one; otherwise it gets a 503."
    )
    connections_per_address: int = Field(
        256,
        ge=1,
        description="Most open connections from one address that is not in `TRUSTED_PROXIES`. More get a 429.",
    )
    trusted_proxies: CommaSeparated[str] = Field(
        default_factory=list,
        description="Addresses or networks of the reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` the "
        "service believes, separated by commas: `127.0.0.1,10.0.0.0/8`. Empty believes none.",
    )
    root_path: str = Field(
        "", description="Path prefix under which a reverse proxy publishes the service, such as `/speech`."
    )
    page: bool = Field(
        True, description="Serve the page for people at `/`. If it is off, `/` leads to the documentation of the API."
    )
    cors_origins: CommaSeparated[str] = Field(
        default_factory=list,
        description="Origins whose web pages may call the service, separated by commas: `https://app.example.org`. `*` "
        "allows any origin.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _validate_networks(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            ip_network(entry)  # raises ValueError, which names the entry
        return entries

    @field_validator("root_path")
    @classmethod
    def _normalize_root_path(cls, path: str) -> str:
        path = path.rstrip("/")
        if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
            raise ValueError("the prefix must be a path such as /speech")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _validate_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#\s@]+", origin):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.org")
        return origins


class AuthSettings(Section):
    """Who may call `/v1`, and how much."""

    keys: CommaSeparated[SecretStr] = Field(
        default_factory=list,
        description="API keys, separated by commas, each as plain text or as `sha256:<hex digest>`. `speechsum keys "
        "create` makes further keys.",
    )
    required: bool = Field(
        False, description="Require an API key for every request. Keys are always required if `keys` holds one."
    )
    requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests and jobs that a key may send in a minute, unless the key has a quota of its own. 0 means "
        "no limit.",
    )
    audio_minutes_per_day: float = Field(
        0,
        ge=0,
        description="Minutes of audio that a key may send in a day (UTC), unless the key has a quota of its own. 0 "
        "means no limit.",
    )
    admin_keys: CommaSeparated[SecretStr] = Field(
        default_factory=list,
        description="API keys that may also load and unload models at /v1/admin, in the same forms as `keys`. Keys "
        "that were created with the scope `admin` may do so too. Nobody else may.",
    )


class FetchSettings(Section):
    """Recordings by URL. Off by default; addresses that are not public are never fetched from."""

    enabled: bool = Field(False, description="Fetch recordings from URLs that callers name.")
    hosts: CommaSeparated[str] = Field(
        default_factory=list,
        description="Hosts to fetch from, separated by commas: `audio.example.org`, `*.example.org` for every name "
        "under it, `*` for any public host. Required if fetching is enabled.",
    )
    plain_http: bool = Field(
        False, description="Fetch over plain http too, which anyone on the way can read and change."
    )
    ports: CommaSeparated[Annotated[int, Field(ge=1, le=65535)]] = Field(
        [443, 80], min_length=1, description="Ports to fetch from, separated by commas."
    )
    redirects: int = Field(
        3, ge=0, description="Most redirects that are followed. Each of them has to pass every check again."
    )
    connect_seconds: float = Field(
        10, gt=0, description="Longest time to look up a host, and longest time to connect to it, in seconds."
    )
    idle_seconds: float = Field(15, gt=0, description="Longest pause between two pieces of a recording, in seconds.")
    seconds: float = Field(300, gt=0, description="Longest time to fetch a recording, in seconds.")
