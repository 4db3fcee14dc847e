"""OpenAI-compatible endpoints: their addresses, their clients, and answers that follow a JSON schema. Knows nothing
about what is asked.
"""

import os
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from app.core.vllm_http import CONNECTION_LIMITS

if TYPE_CHECKING:
    from openai import OpenAI

TIMEOUT_S = 900
# After 429, 5xx and failed connections. The client waits 0.5 s, 1 s, … 8 s, or as long as the response says.
MAX_RETRIES = 6


class EndpointError(RuntimeError):
    """An endpoint cannot be used. The message names it and says what it answered."""


def api_key() -> str:
    """Return the environment's OPENAI_API_KEY, or a placeholder for endpoints that need no key."""
    return os.environ.get("OPENAI_API_KEY", "none")


def vllm_client(url: str) -> httpx.Client:
    """Return a client of a vLLM server that waits `TIMEOUT_S` seconds for an answer."""
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, limits=CONNECTION_LIMITS)


def open_endpoint(spec: str) -> tuple["OpenAI", str]:
    """Return a client and the model's name for `URL#MODEL`, or for `URL`, which means the first model that the endpoint
    lists. Raises EndpointError if this is not an address, or if the models cannot be listed.
    """
    from openai import OpenAI, OpenAIError

    url, _, model = spec.partition("#")
    if not url.startswith(("http://", "https://")):
        raise EndpointError(
            f"{spec!r} is not the address of an endpoint; one is URL#MODEL, such as http://127.0.0.1:8001/v1#judge"
        )
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
    """Return the `response_format` that makes an answer follow the JSON schema of the model `shape`."""
    schema = {"name": shape.__name__.lower(), "strict": True, "schema": shape.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}
