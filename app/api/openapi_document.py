"""The OpenAPI document of `/openapi.json`: FastAPI's document, corrected and made usable for client generators.

Knows nothing about what the routes do.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from app.api.openapi import SCHEMA_REF_PREFIX, component_schemas, form_field_schema

# FastAPI's own schemas of an error. They are never sent: all errors have OpenAI's shape (`app.api.error_responses`).
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def install_openapi(app: FastAPI, default_model: Callable[[], str]) -> None:
    """Replace the application's document. It is made once, at the first request for it.

    default_model: returns the name of the model that the examples ask for.
    """
    openapi_from_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _adapt_document(openapi_from_routes(), default_model())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _adapt_document(document: dict[str, Any], model: str) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    document["components"]["schemas"] = component_schemas() | schemas
    for name in _UNUSED_SCHEMAS:
        document["components"]["schemas"].pop(name, None)
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            # Web pages would fill it in, and openapi-typescript takes a field with a default to be always present.
            field.pop("default", None)
    for path in document["paths"].values():
        path.pop("head", None)  # HTTP itself defines it as GET without a body
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = form_field_schema(parameter["schema"])
            responses = operation["responses"]
            if _schema_reference(responses.get("422")) == SCHEMA_REF_PREFIX + _UNUSED_SCHEMAS[0]:
                del responses["422"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "model" in content.get("example", {}):
                    content["example"]["model"] = model
    return document


def _schema_reference(response: dict[str, Any] | None) -> str | None:
    schema = (response or {}).get("content", {}).get("application/json", {}).get("schema", {})
    reference: str | None = schema.get("$ref")
    return reference
