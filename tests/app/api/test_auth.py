"""API keys: off by default; where there are some, /v1 wants one and nothing else does."""

import hashlib
import time
from typing import Any

import pytest

from app.keys.authenticator import Authenticator
from app.keys.store import KeyStore, StoredKey
from tests.app.running_service import PATH, Site, code, serving, settings_for, wav

KEYS = f"plain-key, sha256:{hashlib.sha256(b'hashed-key').hexdigest()}"


async def test_without_keys_everyone_may(site: Site) -> None:
    assert (await site.post()).status_code == 200
    assert (await site.client.get("/v1/models")).status_code == 200


async def test_either_form_of_a_key_opens() -> None:
    async with serving(auth={"keys": KEYS}) as site:
        for key in ("plain-key", "hashed-key"):
            site.client.headers["authorization"] = f"Bearer {key}"
            assert (await site.post()).status_code == 200
            assert (await site.client.get("/v1/models")).status_code == 200


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "missing_api_key"),
        ("Basic cGxhaW4ta2V5", "missing_api_key"),
        ("Bearer", "missing_api_key"),
        ("Bearer wrong", "invalid_api_key"),
        ("Bearer plain-key2", "invalid_api_key"),
        ("Bearer " + hashlib.sha256(b"hashed-key").hexdigest(), "invalid_api_key"),
    ],
)
async def test_anything_else_is_refused(header: str | None, expected: str) -> None:
    async with serving(auth={"keys": KEYS}) as site:
        if header:
            site.client.headers["authorization"] = header
        for response in (
            await site.post(),
            await site.post(stream="true"),
            await site.client.post(PATH, content=wav()),
            await site.client.get("/v1/models"),
            await site.client.get("/v1/models/test-model"),
        ):
            assert code(response) == (401, expected)
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["type"] == "authentication_error"
        assert site.engine.requests == []
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await site.client.get(path)).status_code == 200


async def test_a_key_has_its_own_count_of_open_requests() -> None:
    async with serving(auth={"keys": KEYS}, limits={"client_concurrency": 1}) as site:
        with site.service.admission.request_slot(hashlib.sha256(b"plain-key").hexdigest()) as place:
            place.acquire()
            site.client.headers["authorization"] = "Bearer plain-key"
            assert code(await site.post()) == (429, "too_many_requests")
            site.client.headers["authorization"] = "Bearer hashed-key"
            assert (await site.post()).status_code == 200


@pytest.mark.parametrize("keys", ["sha256:abc", "sha256:", "sha256:" + "zz" * 32])
def test_a_digest_that_is_none_stops_the_start(keys: str) -> None:
    with pytest.raises(ValueError, match=r"hexadecimal"):
        Authenticator(settings_for(auth={"keys": keys}).auth)


def test_keys_do_not_show_when_settings_are_printed() -> None:
    assert "plain-key" not in repr(settings_for(auth={"keys": KEYS}))


async def create_key(site: Site, **more: Any) -> tuple[StoredKey, dict[str, str]]:
    """A key of the service's database, and the header with it."""
    key, text = await KeyStore(site.jobs.database).create("anna", **more)
    return key, {"authorization": f"Bearer {text}"}


async def test_a_key_that_was_made_opens_until_it_is_revoked() -> None:
    async with serving(auth={"required": True}) as site:
        assert code(await site.post()) == (401, "missing_api_key")
        key, header = await create_key(site)
        site.client.headers.update(header)
        assert (await site.post()).status_code == 200
        assert (await site.client.get("/v1/models")).status_code == 200
        assert "ratelimit" not in (await site.post()).headers
        await KeyStore(site.jobs.database).revoke(key.id)
        assert code(await site.post()) == (401, "invalid_api_key")


async def test_a_key_may_do_what_its_scopes_say() -> None:
    async with serving(auth={"required": True}) as site:
        for scopes, summary, job in ((["jobs"], 403, 202), (["summaries"], 200, 403), ([], 403, 403)):
            _, header = await create_key(site, scopes=scopes)
            site.client.headers.update(header)
            assert (await site.post()).status_code == summary
            files = {"file": ("recording.wav", wav())}
            assert (await site.client.post(f"{PATH}/jobs", files=files)).status_code == job
            assert (await site.client.get(f"{PATH}/jobs")).status_code == (403 if job == 403 else 200)
        refused = await site.post()
        assert code(refused) == (403, "scope_missing")
        assert refused.json()["error"]["type"] == "permission_error"
        await site.until_idle()


async def test_requests_are_counted_and_told() -> None:
    async with serving(auth={"required": True, "requests_per_minute": 2}) as site:
        _, header = await create_key(site)
        site.client.headers.update(header)
        for left in (1, 0):
            response = await site.post(stream="true")
            assert response.status_code == 200
            assert response.headers["x-ratelimit-limit-requests"] == "2"
            assert response.headers["x-ratelimit-remaining-requests"] == str(left)
            assert response.headers["ratelimit-policy"] == '"requests";q=2;w=60'
            assert response.headers["ratelimit"].startswith(f'"requests";r={left};t=')
        refused = await site.post()
        assert code(refused) == (429, "quota_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
        assert refused.headers["x-should-retry"] == "true"
        assert (await site.client.get("/v1/models")).status_code == 200, "looking costs nothing"
        _, header = await create_key(site, requests_per_minute=0)
        assert (await site.post(headers=header)).status_code == 200, "its own number counts before the settings'"


async def test_minutes_of_audio_are_counted_by_what_was_decoded() -> None:
    async with serving(auth={"keys": ["anna"], "audio_minutes_per_day": 5 / 60}) as site:
        site.client.headers["authorization"] = "Bearer anna"
        assert (await site.post(wav(3))).status_code == 200
        response = await site.post(wav(1))
        assert response.headers["ratelimit-policy"] == '"audio-seconds";q=5;w=86400'
        assert response.headers["ratelimit"].startswith('"audio-seconds";r=2;t='), "what was left as it came in"
        refused = await site.post(wav(2))
        assert code(refused) == (429, "quota_exceeded")
        never = await site.post(wav(6))
        assert code(never) == (429, "quota_exceeded")
        assert never.headers["x-should-retry"] == "false"
        assert (await site.post(wav(1))).status_code == 200, "what was refused was not taken"
        await site.until_idle()


async def test_a_job_takes_from_its_owners_audio() -> None:
    async with serving(auth={"required": True}) as site:
        _, header = await create_key(site, audio_minutes_per_day=2 / 60)
        site.client.headers.update(header)
        states = []
        for seconds in (2, 1):
            queued = await site.client.post(f"{PATH}/jobs", files={"file": ("recording.wav", wav(seconds))})
            where = queued.headers["location"]
            await site.client.get(f"{where}/events")  # which ends with the job
            job = (await site.client.get(where)).json()
            states.append((job["state"], (job["error"] or {}).get("code")))
        assert states == [("succeeded", None), ("failed", "quota_exceeded")]


async def test_what_was_read_for_one_key_is_reused_for_no_other() -> None:
    async with serving(auth={"keys": ["anna", "bob"]}) as site:
        for name in ("anna", "bob", "anna"):
            assert (await site.post(headers={"authorization": f"Bearer {name}"})).status_code == 200
        salts = [request.cache_salt for request in site.engine.requests]
        assert salts[0] == salts[2] != salts[1]
        assert all(salts)


async def test_a_key_that_nobody_asked_for_is_known_all_the_same() -> None:
    async with serving() as site:
        key, header = await create_key(site, scopes=["jobs"])
        assert code(await site.post(headers=header)) == (403, "scope_missing")
        assert key.id not in {request.cache_salt for request in site.engine.requests}


async def test_a_bad_key_is_refused_also_where_none_is_required() -> None:
    async with serving() as site:
        key, header = await create_key(site)
        assert (await site.post(headers=header)).status_code == 200
        await KeyStore(site.jobs.database).revoke(key.id)
        _, over = await create_key(site, lifetime_s=-1)
        text = header["authorization"].removeprefix("Bearer ")
        bad = ("Bearer anything", "bearer  anything", text, f"Token {text}", "Bearer x y", over["authorization"])
        for value in (header["authorization"], *bad):
            for method, path in (("POST", PATH), ("GET", "/v1/models"), ("GET", f"{PATH}/jobs/job-none")):
                response = await site.client.request(method, path, headers={"authorization": value}, content=b"")
                assert code(response) == (401, "invalid_api_key"), (value, path)
        assert len(site.engine.requests) == 1
        await site.until_idle()


@pytest.mark.parametrize("value", ["Bearer none", "Bearer EMPTY", "Bearer", "Basic dXNlcjpwYXNzd29yZA=="])
async def test_what_stands_for_no_key_is_none(value: str) -> None:
    async with serving() as site:
        assert (await site.post(headers={"authorization": value})).status_code == 200
    async with serving(auth={"required": True}) as site:
        assert code(await site.post(headers={"authorization": value})) == (401, "missing_api_key")


async def test_the_use_of_a_key_is_written_down_but_not_at_every_request() -> None:
    async with serving(auth={"required": True}) as site:
        key, header = await create_key(site)
        store = KeyStore(site.jobs.database)
        found = []
        for _ in range(2):
            assert (await site.client.get("/v1/models", headers=header)).status_code == 200
            found.append((await store.list_keys())[0].last_used)
        assert found[0] == pytest.approx(time.time(), abs=30)
        assert found[0] == found[1]
        _, unused = await create_key(site)
        assert unused
        assert (await store.list_keys())[1].last_used is None
        assert key.last_used is None
