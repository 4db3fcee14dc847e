"""The application on a cluster of several machines: a machine dies, the text is replaced, and more audio brings more
replicas, while requests go on and none fails.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.server.sockets import open_listening_sockets
from tests.app.ray_cluster import RAY_MARKS, add_machine, kill_machine, local_cluster
from tests.recordings import speech_wav

pytestmark = RAY_MARKS

FIRST, SECOND = "What was said first of all.", "Something else was said."
HTTP_SECONDS = 90
DEPLOY_SECONDS = 150


class Application:
    """The application as the tests deploy it, by the same file format as an operator."""

    def __init__(self, folder: Path) -> None:
        (listener,) = open_listening_sockets("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        listener.close()
        self.folder = folder
        self.engines = {"min_replicas": 2, "max_replicas": 2}

    def deploy(self, text: str, **policy: float) -> None:
        """Deploy the application and wait until all of it runs."""
        from ray import serve
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": self.port})
        one: dict[str, Any] = {"graceful_shutdown_timeout_s": 20, "upscale_delay_s": 0, "downscale_delay_s": 600}
        application: dict[str, Any] = {
            "name": "speechsum",
            "route_prefix": "/",
            "import_path": "tests.app.ray_serve.scripted_application:build",
            "args": {
                "text": text,
                "word_s": 0.2,
                "hear_s": 0.2,
                "folder": str(self.folder),
                "ingress": {**one, "ray_actor_options": {"num_cpus": 0, "resources": {"head": 0.1}}},
                "ear": {**one, "min_replicas": 2, "max_replicas": 2, "ray_actor_options": {"num_cpus": 0.5}},
                "engine": {**one, **self.engines, "ray_actor_options": {"num_cpus": 0.5}},
            },
        }
        if policy:
            application["autoscaling_policy"] = {
                "policy_function": "app.ray_serve.autoscaling:QueuedAudioPolicy",
                "policy_kwargs": {"audio_seconds_per_replica": policy},
            }
        client = _get_global_client()
        client.deploy_apps(ServeDeploySchema.model_validate({"applications": [application]}))
        self.wait_for("the application runs", lambda: self.status().status == "RUNNING")

    def status(self) -> Any:
        from ray import serve

        return serve.status().applications["speechsum"]

    def replicas(self, deployment: str) -> int:
        states = self.status().deployments[deployment].replica_states
        return int(states.get("RUNNING", 0))

    def wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEPLOY_SECONDS
        while not condition():
            assert time.monotonic() < end, f"not within {DEPLOY_SECONDS} s: {what}; {self.status()}"
            time.sleep(0.5)

    async def summarize(self, client: httpx.AsyncClient) -> str:
        response = await client.post("/v1/audio/summaries", files={"file": speech_wav()})
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["model"] == "scripted-cascade@1"
        return str(answer["summary"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with local_cluster(head_cpus=0) as running:
        yield running


@pytest.fixture(scope="module")
def application(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """The application: the ingress on the first machine, the models on two others."""
    import ray

    del cluster
    assert ray.is_initialized()
    return Application(tmp_path_factory.mktemp("state"))


@asynccontextmanager
async def requests_in_progress(application: Application, clients: int) -> AsyncIterator[list[str]]:
    """Send requests inside the block, one after the other for each client. The list has their summaries in the end."""
    summaries: list[str] = []
    ending = asyncio.Event()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{application.port}", timeout=HTTP_SECONDS) as client:

        async def send() -> None:
            while not ending.is_set():
                summaries.append(await application.summarize(client))

        tasks = [asyncio.create_task(send()) for _ in range(clients)]
        try:
            yield summaries
        finally:
            ending.set()
            await asyncio.gather(*tasks)


async def test_no_request_is_lost_when_a_machine_dies_the_application_is_replaced_and_grows(
    cluster: Any, application: Application
) -> None:
    add_machine(cluster, 1)
    doomed = add_machine(cluster, 1)
    application.deploy(FIRST)
    async with requests_in_progress(application, 6) as summaries:
        await asyncio.to_thread(application.wait_for, "summaries", lambda: len(summaries) >= 6)
        before = len(summaries)
        await asyncio.to_thread(kill_machine, cluster, doomed)
        await asyncio.to_thread(application.wait_for, "more summaries", lambda: len(summaries) >= before + 12)
    assert set(summaries) == {FIRST}  # leaving the block raises if a request has failed

    await asyncio.to_thread(add_machine, cluster, 2)
    application.wait_for("the lost replicas are replaced", lambda: application.replicas("engine") == 2)
    async with requests_in_progress(application, 4) as summaries:
        await asyncio.to_thread(application.deploy, SECOND)
        await asyncio.to_thread(application.wait_for, "the second text is written", lambda: SECOND in summaries)
    assert set(summaries) <= {FIRST, SECOND}
    assert SECOND in summaries

    application.engines = {"min_replicas": 1, "max_replicas": 3}
    await asyncio.to_thread(application.deploy, SECOND, engine=4.0)
    async with requests_in_progress(application, 6) as summaries:  # more than 24 seconds of audio
        await asyncio.to_thread(application.wait_for, "the engine grows", lambda: application.replicas("engine") == 3)
    assert set(summaries) == {SECOND}
