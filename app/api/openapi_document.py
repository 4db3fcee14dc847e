"""The OpenAPI document as `/openapi.json` shows it: what FastAPI reads off the routes, made true and usable by client
generators.

Knows nothing about what the routes do.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from app.api.openapi import SCHEMA_REF_PREFIX, component_schemas, form_field_schema

# FastAPI's own shape of a refusal. It is never sent: every failure has OpenAI's shape (`app.api.error_responses`).
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def install_openapi(app: FastAPI, default_model: Callable[[], str]) -> None:
    """Have the application's document be this one. It is made once, when it is first asked for.

    model: names the model that examples ask for.
    """
    read_off_the_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _adapt_document(read_off_the_routes(), default_model())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _adapt_document(document: dict[str, Any], model: str) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    document["components"]["schemas"] = component_schemas() | schemas
    for name in _UNUSED_SCHEMAS:
        document["components"]["schemas"].pop(name, None)
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            # Pages would fill it in, and openapi-typescript takes a field with a default for one that is always there.
            field.pop("default", None)
    for path in document["paths"].values():
        path.pop("head", None)  # as GET, without a body: HTTP says so itself
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = form_field_schema(parameter["schema"])
            answers = operation["responses"]
            if _schema_reference(answers.get("422")) == SCHEMA_REF_PREFIX + _UNUSED_SCHEMAS[0]:
                del answers["422"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "model" in content.get("example", {}):
                    content["example"]["model"] = model
    return document


def _schema_reference(answer: dict[str, Any] | None) -> str | None:
    schema = (answer or {}).get("content", {}).get("application/json", {}).get("schema", {})
    found: str | None = schema.get("$ref")
    return found
