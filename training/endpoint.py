"""OpenAI-compatible endpoints: how one is named, opened and held to a shape. Knows nothing about what it is asked."""

import os
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

if TYPE_CHECKING:
    from openai import OpenAI

TIMEOUT_S = 900
RETRIES = 6  # of what fails for a while (429, 5xx, no connection): the client waits 0.5 s, 1 s, … 8 s, or as it is told


def key() -> str:
    """OPENAI_API_KEY, or something for endpoints that want none."""
    return os.environ.get("OPENAI_API_KEY", "none")


def vllm_client(url: str) -> httpx.Client:
    """A client of a vLLM server, each request over a connection of its own: a server closes what was idle for some
    seconds, and a request that goes out over such a one at that moment fails.
    """
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, limits=httpx.Limits(max_keepalive_connections=0))


def endpoint(spec: str) -> tuple["OpenAI", str]:
    """`URL#MODEL`, or a URL alone for the first model it lists → a client, and the model's name."""
    from openai import OpenAI

    url, _, model = spec.partition("#")
    client = OpenAI(base_url=url, api_key=key(), timeout=TIMEOUT_S, max_retries=RETRIES)
    return client, model or client.models.list().data[0].id


def held_to(shape: type[BaseModel]) -> Any:
    """The `response_format` that holds an answer to the model's JSON schema."""
    schema = {"name": shape.__name__.lower(), "strict": True, "schema": shape.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}
