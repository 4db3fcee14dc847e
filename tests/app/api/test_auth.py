"""API keys: off by default; where there are some, /v1 wants one and nothing else does."""

import hashlib

import pytest

from app.api.auth import key_digests
from tests.app.site import PATH, Site, code, serving, settings_for, wav

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
        place = site.service.admission.place(hashlib.sha256(b"plain-key").hexdigest())
        with place:
            site.client.headers["authorization"] = "Bearer plain-key"
            assert code(await site.post()) == (429, "too_many_requests")
            site.client.headers["authorization"] = "Bearer hashed-key"
            assert (await site.post()).status_code == 200


@pytest.mark.parametrize("keys", ["sha256:abc", "sha256:", "sha256:" + "zz" * 32])
def test_a_digest_that_is_none_stops_the_start(keys: str) -> None:
    with pytest.raises(ValueError, match=r"hexadecimal"):
        key_digests(settings_for(auth={"keys": keys}))


def test_keys_do_not_show_when_settings_are_printed() -> None:
    assert "plain-key" not in repr(settings_for(auth={"keys": KEYS}))
