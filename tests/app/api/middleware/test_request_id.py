"""Every response carries an x-request-id: the caller's if it is sane, else a drawn one."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.request_id import RequestIdMiddleware
from tests.app.running_service import PATH, Site, wav


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/livez", "/metrics", "/v1/models", "/nothing", "/docs", "/openapi.json", "/"])
async def test_every_response_has_an_id(shared: Site, path: str) -> None:
    ids = {(await shared.client.get(path)).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    given = await shared.client.get(path, headers={"x-request-id": "abc-1.2:3"})
    assert given.headers["x-request-id"] == "abc-1.2:3"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("insane", ["", "a b", "x" * 129, "<script>", "-starts-with-a-dash", "semi;colon", "a\tb"])
async def test_an_insane_id_is_replaced(shared: Site, insane: str) -> None:
    answered = (await shared.client.get("/livez", headers={"x-request-id": insane})).headers["x-request-id"]
    assert answered.startswith("req_")


@pytest.mark.asyncio(loop_scope="module")
async def test_streams_and_refusals_carry_it(shared: Site) -> None:
    for fields in ({"stream": "true"}, {"stream": "false"}, {"style": "poem"}):
        response = await shared.client.post(PATH, files={"file": wav()}, data=fields, headers={"x-request-id": "mine"})
        assert response.headers["x-request-id"] == "mine"


async def test_an_exception_after_the_answer_began_is_not_answered_twice() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(RuntimeError, match="late"):
        await RequestIdMiddleware(breaks)(scope, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["http.response.start"]
