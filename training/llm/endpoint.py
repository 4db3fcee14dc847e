"""OpenAI-compatible endpoints: how one is named, opened and held to a shape. Knows nothing about what it is asked."""

import os
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from app.core.vllm_http import CONNECTION_LIMITS

if TYPE_CHECKING:
    from openai import OpenAI

TIMEOUT_S = 900
MAX_RETRIES = (
    6  # of what fails for a while (429, 5xx, no connection): the client waits 0.5 s, 1 s, … 8 s, or as it is told
)


class EndpointError(RuntimeError):
    """An endpoint cannot be used; the message names it and says what it answered."""


def api_key() -> str:
    """OPENAI_API_KEY, or something for endpoints that want none."""
    return os.environ.get("OPENAI_API_KEY", "none")


def vllm_client(url: str) -> httpx.Client:
    """Return a client of a vLLM server that waits `TIMEOUT_S` seconds for an answer."""
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, limits=CONNECTION_LIMITS)


def open_endpoint(spec: str) -> tuple["OpenAI", str]:
    """`URL#MODEL`, or a URL alone for the first model it lists → a client, and the model's name. Raises
    `EndpointError`.
    """
    from openai import OpenAI, OpenAIError

    url, _, model = spec.partition("#")
    if not url.startswith(("http://", "https://")):
        raise EndpointError(f"{spec!r} is no address of an endpoint: URL#MODEL, such as http://127.0.0.1:8001/v1#judge")
    client = OpenAI(base_url=url, api_key=api_key(), timeout=TIMEOUT_S, max_retries=MAX_RETRIES)
    if model:
        return client, model
    try:
        return client, client.models.list().data[0].id
    except (OpenAIError, IndexError, TypeError, AttributeError) as error:
        raise EndpointError(
            f"{url}: the endpoint's models cannot be listed: {type(error).__name__}: {error}"
        ) from error


def json_schema_format(shape: type[BaseModel]) -> Any:
    """The `response_format` that holds an answer to the model's JSON schema."""
    schema = {"name": shape.__name__.lower(), "strict": True, "schema": shape.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}
