"""Failures of the framework's own validation, for whatever route uses it."""

from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api import error_responses


def test_the_frameworks_validation_is_a_400_with_the_parameter() -> None:
    app = FastAPI()
    error_responses.install_error_handlers(app)

    @app.get("/numbers")
    async def numbers(count: int) -> int:
        return count

    client = TestClient(app)
    assert client.get("/numbers?count=3").json() == 3
    for query in ("", "?count=three"):
        response = client.get(f"/numbers{query}")
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["code"], error["param"], error["type"]) == ("invalid_field", "count", "invalid_request_error")
