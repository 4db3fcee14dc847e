"""The settings of traces."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from app.settings.section import Section


class TracingSettings(Section):
    """OpenTelemetry traces of requests and jobs. Off by default; no trace holds audio, texts or keys."""

    endpoint: str = Field(
        "",
        description="URL that traces are sent to by OTLP: `http://collector:4318/v1/traces`, or with the protocol "
        "`grpc` `http://collector:4317`. Empty sends none. Headers, certificates and the service's name are set by "
        "OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`).",
    )
    protocol: Literal["http/protobuf", "grpc"] = Field(
        "http/protobuf", description="Protocol of the endpoint: `http/protobuf` or `grpc`."
    )
    sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced. A request that comes with a `traceparent` is traced if its "
        "caller traces it.",
    )

    @field_validator("endpoint")
    @classmethod
    def _validate_url(cls, endpoint: str) -> str:
        if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
            raise ValueError(f"{endpoint!r} is not a URL such as http://collector:4318/v1/traces")
        return endpoint
