"""The models in the ingress, over handles in this process: what a lost replica does to a request, and to a start-up."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.core.errors import EngineDead, ServiceError, TooLarge, Unavailable
from app.engine.base import EngineEvent, GenerationFinished, StageStarted, TextDelta
from app.engine.chat_request import SamplingOptions
from app.settings import Settings
from tests.app.ray_cluster import RAY_MARKS
from tests.recordings import speech_wav

pytestmark = RAY_MARKS

FINISHED = GenerationFinished("stop", 9, 3)
MESSAGES = [{"role": "user", "content": "Summarize."}]


class Response:
    """What a handle returns for a stream. Ray wraps an exception of the replica."""

    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = events
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._events

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle whose calls are answered by functions, one after the other, and then always by the last."""

    def __init__(self, *answers: Callable[..., Any]) -> None:
        self._answers = list(answers)
        self.responses: list[Response] = []
        self.calls: list[tuple[Any, ...]] = []

    def options(self, **_: Any) -> "Handle":
        return self

    def remote(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.responses.append(Response(answer(*arguments)))
        return self.responses[-1]


def from_replica(error: ServiceError) -> Exception:
    """The error as a caller of a replica gets it."""
    from ray.exceptions import RayTaskError

    wrapped: Exception = RayTaskError("stream", "Traceback", error)
    return wrapped


def answer(
    *texts: str, error: Callable[[], Exception] | None = None
) -> Callable[..., AsyncGenerator[EngineEvent, None]]:
    async def generate(*_: Any) -> AsyncGenerator[EngineEvent, None]:
        yield StageStarted("prefill")
        for text in texts:
            yield TextDelta(text)
        if error is not None:
            raise error()
        yield FINISHED

    return generate


def lost() -> Exception:
    from ray.exceptions import ActorDiedError

    died: Exception = ActorDiedError()
    return died


def engine_died() -> Exception:
    return from_replica(EngineDead("The engine died.", code="engine_dead"))


def too_large() -> Exception:
    return from_replica(TooLarge("It is too long.", code="context_exceeded"))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.ray_serve import lost_replicas

    monkeypatch.setattr(lost_replicas, "PAUSE_S", 0)


async def read(handle: Handle) -> list[EngineEvent]:
    from app.ray_serve.chat_model import ServeChatModel

    model = ServeChatModel(handle, 100, lambda: len)
    await model.start()
    return [event async for event in model.stream(MESSAGES, SamplingOptions(9), "x")]


@pytest.mark.parametrize("error", [lost, engine_died])
async def test_an_answer_goes_on_at_another_replica(error: Callable[[], Exception]) -> None:
    handle = Handle(answer("Anna ", error=error), answer(error=error), answer("Anna calls", "."))
    expected = [StageStarted("prefill"), TextDelta("Anna "), TextDelta("calls"), TextDelta("."), FINISHED]
    assert await read(handle) == expected
    assert [response.cancelled for response in handle.responses] == [True] * 3
    assert len({request_id for _, _, request_id, _ in handle.calls}) == 3  # an engine takes each id once


async def test_another_answer_and_endless_losses_are_an_error() -> None:
    with pytest.raises(Unavailable) as told:
        await read(Handle(answer("Anna ", error=lost), answer("Bob calls.")))
    assert told.value.code == "engine_lost"
    handle = Handle(answer(error=lost))
    with pytest.raises(Unavailable):
        await read(handle)
    assert len(handle.calls) == 4


async def test_a_refusal_is_not_repeated() -> None:
    handle = Handle(answer(error=too_large))
    with pytest.raises(TooLarge) as told:
        await read(handle)
    assert (told.value.code, len(handle.calls)) == ("context_exceeded", 1)


async def test_the_whole_service_runs_over_handles(tmp_path: Path) -> None:
    from app.core.asr.transcript import Transcript, TranscriptSegment
    from app.ray_serve.application import ServedModel, handle_source
    from app.ray_serve.ingress import QUEUED_AUDIO, Ingress
    from tests.app.ray_serve.scripted_application import INFO, count_words

    heard = Transcript((TranscriptSegment(0.0, 2.0, "Anna calls.", -0.2, 1.0, 0.0),), "en", 0.99)
    waiting: list[float] = []

    class EarResponse(Response):
        def __await__(self) -> Any:
            async def transcribe() -> Transcript:
                waiting.append(ingress.record_autoscaling_stats()[QUEUED_AUDIO])
                return heard

            return transcribe().__await__()

    class EarHandle(Handle):
        def remote(self, *arguments: Any) -> Any:
            assert isinstance(arguments[0], np.ndarray)
            return EarResponse(aiter(answer()()))

    settings = Settings(jobs={"folder": tmp_path}, decoder={"workers": 1})  # type: ignore[arg-type]
    model = ServedModel(INFO, 8192, lambda: None, lambda: count_words, lambda: None)  # type: ignore[arg-type, return-value]
    engine = Handle(answer("Anna ", "calls."))
    ingress = Ingress(settings, partial(handle_source, model), engine, EarHandle(answer()))
    application = ingress.__serve_build_asgi_app__()
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()

    await inbox.put({"type": "lifespan.startup"})
    life = asyncio.create_task(application({"type": "lifespan", "state": {}}, inbox.get, outbox.put))  # type: ignore[arg-type]
    assert await asyncio.wait_for(outbox.get(), 60) == {"type": "lifespan.startup.complete"}
    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://serve") as client:
        assert (await client.get("/readyz")).status_code == 200  # it was complete only when it was ready
        told = await client.post("/v1/audio/summaries", files={"file": speech_wav()})
        assert told.status_code == 200, told.text
        assert (told.json()["summary"], told.json()["model"]) == ("Anna calls.", "scripted-cascade@1")
        assert max(waiting) > 3  # seconds of audio, while it was heard
        assert ingress.record_autoscaling_stats() == {QUEUED_AUDIO: 0.0}
    await inbox.put({"type": "lifespan.shutdown"})
    await asyncio.wait_for(life, 30)


async def test_a_start_up_that_fails_says_why(tmp_path: Path) -> None:
    from app.ray_serve.ingress import ReadyAtStartup

    class Broken:
        failure = "The model cannot be loaded."

        async def wait_until_started(self) -> None: ...

    class Inner:
        class state:
            service = Broken()

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "lifespan.startup.complete"})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await ReadyAtStartup(Inner())({"type": "lifespan"}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "lifespan.startup.failed", "message": "The model cannot be loaded."}]


def test_the_application_has_its_deployments(tmp_path: Path) -> None:
    from tests.app.ray_serve.scripted_application import ScriptedOptions, build

    application = build(ScriptedOptions(text="Anna calls.", word_s=0, hear_s=0, folder=tmp_path))
    assert application._bound_deployment.name == "ingress"


def test_the_application_starts_over_the_handles_of_serve(tmp_path: Path) -> None:
    from ray import serve

    from app.ray_serve.ingress import QUEUED_AUDIO
    from tests.app.ray_serve.scripted_application import ScriptedOptions, build

    application = build(ScriptedOptions(text="Anna calls.", word_s=0, hear_s=0, folder=tmp_path))
    # All replicas in this process. The ingress is there once its test recording went through the other two.
    handle = serve.run(application, _local_testing_mode=True)
    assert handle.record_autoscaling_stats.remote().result(timeout_s=60) == {QUEUED_AUDIO: 0.0}


def test_the_configuration_files_are_those_of_serve() -> None:
    import yaml
    from ray.serve.schema import ServeDeploySchema

    from tests.deploy.test_ray_files import FOLDER, serve_configs

    for config in serve_configs().values():
        (application,) = ServeDeploySchema.model_validate(config).applications
        assert application.name == "speechsum"
    assert yaml.safe_load((FOLDER / "serve.yaml").read_text())["applications"]
