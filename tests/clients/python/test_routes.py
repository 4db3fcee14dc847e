"""Every route of the service that callers use has a method, with asyncio and without."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from speechsum_client import AsyncClient, AsyncJob, Client, Job, SpeechsumError
from speechsum_client.answers import JobInfo

from app.engine.scripted import ScriptedEngine
from app.main import create_app
from tests.app.running_service import MODEL, WaveDecoder, settings_for
from tests.clients.python.conftest import Blocking, Connect
from tests.clients.python.faulty_server import JOB

ADDRESS = "http://service.test"
# For operators: models are loaded with another key, and probes and measurements are for machines.
LEFT_OUT = re.compile(r"/v1/admin/|/(livez|readyz|startupz|metrics)$")
CALLS: dict[str, Callable[[Any], Any]] = {
    "summarize": lambda client: client.summarize(b"audio"),
    "summarize_stream": lambda client: list(client.summarize_stream(b"audio")),
    "ask": lambda client: client.ask(b"audio", "Who pays?"),
    "recording": lambda client: client.recording("rec-1"),
    "delete_recording": lambda client: client.delete_recording("rec-1"),
    "models": lambda client: client.models(),
    "model": lambda client: client.model("cascade-base@1"),
    "templates": lambda client: client.templates(),
    "template": lambda client: client.template("board"),
    "create_template": lambda client: client.create_template("board", "A meeting.", "Name who pays."),
    "replace_template": lambda client: client.replace_template("board", "A meeting.", "Name who pays."),
    "delete_template": lambda client: client.delete_template("board"),
    "vocabulary": lambda client: client.vocabulary(),
    "replace_vocabulary": lambda client: client.replace_vocabulary(["Kubernetes"]),
    "delete_vocabulary": lambda client: client.delete_vocabulary(),
    "create_job": lambda client: client.create_job(b"audio"),
    "job": lambda client: client.job("job-1"),
    "jobs": lambda client: list(client.jobs()),
}
JOB_CALLS: dict[str, Callable[[Any], Any]] = {
    "refresh": lambda job: job.refresh(),
    "wait": lambda job: job.wait(),
    "result": lambda job: job.result(),
    "events": lambda job: list(job.events()),
    "cancel": lambda job: job.cancel(),
    "delete": lambda job: job.delete(),
}
OF_THE_CLIENT_ITSELF = {"close", "send", "open_stream", "read_chunks", "retry", "take", "id", "state", "info"}


def method_names(kind: type) -> set[str]:
    """The public names of a class that send requests."""
    return {name for name in dir(kind) if not name.startswith("_")} - OF_THE_CLIENT_ITSELF


def document_routes() -> set[tuple[str, str]]:
    """Method and path of every route for callers."""
    paths = create_app(settings_for(), ScriptedEngine(), MODEL, WaveDecoder()).openapi()["paths"]
    return {(method.upper(), path) for path, item in paths.items() for method in item if not LEFT_OUT.search(path)}


def test_every_route_for_callers_has_a_method(connect: Connect) -> None:
    sent: list[tuple[str, str]] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, request.url.path))
        return httpx.Response(404, json={"error": {"message": "It is not here.", "code": "not_found"}})

    transport, info = httpx.MockTransport(refuse), JobInfo.model_validate(JOB)
    job: Any
    if isinstance(connect(ADDRESS), Client):
        client = connect(ADDRESS, http=httpx.Client(transport=transport))
        job = Job(client, info)
    else:
        client = connect(ADDRESS, http=httpx.AsyncClient(transport=transport))
        job = Blocking(AsyncJob(client.target, info), client.loop)
    for target, calls in ((client, CALLS), (job, JOB_CALLS)):
        for call in calls.values():
            with pytest.raises(SpeechsumError, match="It is not here"):
                call(target)
    routes = document_routes()
    patterns = {route: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route[1])) for route in routes}
    reached = {
        route for route, pattern in patterns.items() if any(m == route[0] and pattern.fullmatch(p) for m, p in sent)
    }
    assert len(routes) > 18
    assert routes - reached == set(), "these routes have no method"
    assert [one for one in sent if not any(r[0] == one[0] and p.fullmatch(one[1]) for r, p in patterns.items())] == []


def test_both_clients_have_the_same_methods() -> None:
    assert method_names(Client) == method_names(AsyncClient) == CALLS.keys()
    assert method_names(Job) == method_names(AsyncJob) == JOB_CALLS.keys()
