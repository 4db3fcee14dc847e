"""What stands in front of the service: proxies that are believed or not, a path prefix, pages of other origins."""

import resource
from typing import Any

import pytest
from pydantic import ValidationError

from app.server.uvicorn_config import FILES_BESIDE_CONNECTIONS, raise_file_limit
from tests.app.running_service import PATH, Site, code, serving, settings_for, wav

JOBS = f"{PATH}/jobs"


async def callers(site: Site, forwarded: str) -> list[str]:
    """The names that requests are counted under, when one comes with this `X-Forwarded-For`."""
    names: list[str] = []
    place = site.service.admission.request_slot
    site.service.admission.request_slot = lambda client: names.append(client) or place(client)  # type: ignore[method-assign,func-returns-value]
    response = await site.client.post(PATH, content=wav(), headers={"x-forwarded-for": forwarded})
    assert response.status_code == 200
    return names


async def test_nobody_is_believed_who_he_says_he_forwards_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own variable
    async with serving() as site:
        assert await callers(site, "203.0.113.9") == ["127.0.0.1"]


@pytest.mark.parametrize("trusted", [["127.0.0.1"], ["127.0.0.0/8"], ["10.0.0.1", "127.0.0.1"]])
async def test_a_proxy_that_is_named_is_believed(trusted: list[str]) -> None:
    async with serving(server={"trusted_proxies": trusted}) as site:
        assert await callers(site, "203.0.113.9") == ["203.0.113.9"]
        # The caller's own line stands before what the proxy added.
        assert (await callers(site, "1.2.3.4, 203.0.113.9"))[-1] == "203.0.113.9"


async def test_another_proxy_is_not_believed() -> None:
    async with serving(server={"trusted_proxies": ["10.0.0.0/8"]}) as site:
        assert await callers(site, "203.0.113.9") == ["127.0.0.1"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"trusted_proxies": ["proxy.example.org"]},
        {"trusted_proxies": ["*"]},
        {"trusted_proxies": ["10.0.0.1/8"]},
        {"root_path": "speech"},
        {"root_path": "/speech?x"},
        {"root_path": "https://example.org/speech"},
        {"cors_origins": ["app.example.org"]},
        {"cors_origins": ["https://app.example.org/"]},
        {"cors_origins": ["https://user@app.example.org"]},
    ],
)
def test_settings_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings_for(server=wrong)


@pytest.mark.parametrize("prefix", ["", "/speech"])
async def test_behind_a_prefix(prefix: str) -> None:
    """prefix: what the proxy leaves of it."""
    async with serving(server={"root_path": "/speech/"}) as site:
        get = site.client.get
        assert (await get(f"{prefix}/livez")).status_code == 200
        assert (await get(f"{prefix}/v1/models")).json()["object"] == "list"
        # The pages' addresses are relative to where the browser sees them, which is /speech/ and /speech/docs.
        assert 'src="page/main.js"' in (await get(f"{prefix}/")).text
        assert (await get(f"{prefix}/page/main.js")).status_code == 200
        as_json = await get(f"{prefix}/", headers={"accept": "application/json"})
        assert as_json.json()["documentation"] == "/speech/docs"
        assert 'src="docs/docs.js"' in (await get(f"{prefix}/docs")).text
        assert 'url: "openapi.json"' in (await get(f"{prefix}/docs/docs.js")).text
        assert (await get(f"{prefix}/openapi.json")).json()["servers"] == [{"url": "/speech"}]
        for _ in range(2):
            queued = await site.client.post(
                f"{prefix}{JOBS}", files={"file": wav()}, headers={"idempotency-key": f"x{prefix}"}
            )
            assert queued.headers["location"] == f"/speech{JOBS}/{queued.json()['id']}"
        assert (await site.client.put(f"{prefix}{PATH}/talk.wav", content=wav())).status_code == 200
        assert (await site.client.head(f"{prefix}/livez")).status_code == 200
        assert code(await get(f"{prefix}{PATH}")) == (405, "method_not_allowed")
        assert code(await get("/other/livez")) == (404, "not_found")


ORIGIN = "https://app.example.org"


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key",
    }


async def test_pages_of_named_origins_may_call() -> None:
    async with serving(server={"cors_origins": [ORIGIN]}) as site:
        answer = await site.client.options(PATH, headers=preflight(ORIGIN))
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        for response in (
            await site.client.post(PATH, content=wav(), headers={"origin": ORIGIN}),
            await site.client.post(PATH, content=b"", headers={"origin": ORIGIN}),
            await site.client.get("/nothing", headers={"origin": ORIGIN}),
        ):
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert "x-request-id" in response.headers["access-control-expose-headers"]
        other = await site.client.options(PATH, headers=preflight("https://evil.example"))
        assert other.status_code == 400
        assert other.json()["error"]["code"] == "cors_refused"
        assert "access-control-allow-origin" not in other.headers
        asked = await site.client.get("/v1/models", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in asked.headers


async def test_any_origin_and_none() -> None:
    async with serving(server={"cors_origins": ["*"]}) as site:
        asked = await site.client.get("/v1/models", headers={"origin": "https://other.example"})
        assert asked.headers["access-control-allow-origin"] == "*"
    async with serving() as site:
        for response in (
            await site.client.get("/v1/models", headers={"origin": ORIGIN}),
            await site.client.options(PATH, headers=preflight(ORIGIN)),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]


def test_the_process_may_open_as_many_files_as_connections_need(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(100, 50_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.append(given))
    raise_file_limit(settings_for(server={"connections": 3000}))
    assert limits[-1] == (3000 + FILES_BESIDE_CONNECTIONS, 50_000)
    raise_file_limit(settings_for(server={"connections": 3000}))
    assert len(limits) == 2  # it is enough
    raise_file_limit(settings_for(server={"connections": 100_000}))
    assert limits[-1] == (50_000, 50_000)
