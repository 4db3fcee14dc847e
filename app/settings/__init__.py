"""Every setting of the service, each with a sentence that documents it.

Settings are read from the environment (`SPEECHSUM_PORT`, in a section `SPEECHSUM_LIMITS__UPLOAD_BYTES`) and from a
`.env` file; the environment takes precedence. `.env.example` is the output of `env_example()`. A module holds a few
sections that belong together: `requests`, `http`, `engine`, `jobs`, `recordings`, `tracing`; `root` puts them together.
The package does not know what the settings do.
"""

from app.core.asr.settings import RecognizerSettings
from app.settings.engine import AdapterSettings, EngineSettings, RemoteSettings
from app.settings.http import AuthSettings, FetchSettings, ServerSettings
from app.settings.jobs import JobSettings, WebhookSettings, state_folder
from app.settings.names import (
    API_KEY_VARIABLE,
    CLIENT_VARIABLES,
    DELIMITER,
    PREFIX,
    URL_VARIABLE,
    setting_name,
)
from app.settings.recordings import RecordingSettings
from app.settings.reference import env_example, setting_fields, unknown_variables
from app.settings.requests import DecoderSettings, EffortSettings, LimitSettings, LongSettings, TimeoutSettings
from app.settings.root import Settings
from app.settings.tracing import TracingSettings

__all__ = [
    "API_KEY_VARIABLE",
    "CLIENT_VARIABLES",
    "DELIMITER",
    "PREFIX",
    "URL_VARIABLE",
    "AdapterSettings",
    "AuthSettings",
    "DecoderSettings",
    "EffortSettings",
    "EngineSettings",
    "FetchSettings",
    "JobSettings",
    "LimitSettings",
    "LongSettings",
    "RecognizerSettings",
    "RecordingSettings",
    "RemoteSettings",
    "ServerSettings",
    "Settings",
    "TimeoutSettings",
    "TracingSettings",
    "WebhookSettings",
    "env_example",
    "setting_fields",
    "setting_name",
    "state_folder",
    "unknown_variables",
]
