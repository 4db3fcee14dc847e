"""Who may change what is served: admin keys of the settings, which open all the rest too, and keys with the scope."""

import hashlib

import pytest

from app.keys.store import KeyStore
from tests.app.models.scripted_models import FIRST, PATH, SECOND, Fleet, load_model, serving_fleet
from tests.app.running_service import Site, code

ROUTES = [
    ("GET", PATH),
    ("POST", PATH),
    ("GET", f"{PATH}/{FIRST}"),
    ("PATCH", f"{PATH}/{FIRST}"),
    ("DELETE", f"{PATH}/{FIRST}"),
    ("POST", "/v1/admin/adapters"),
    ("DELETE", "/v1/admin/adapters/terse"),
]


def headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("admins", ["", "root-key"])
async def test_others_stay_out(method: str, path: str, admins: str) -> None:
    async with serving_fleet(Fleet(FIRST), auth={"keys": "caller", "admin_keys": admins}) as site:
        for key, expected in (
            (None, (401, "missing_api_key")),
            ("caller", (403, "scope_missing")),
            ("other", (401, "invalid_api_key")),
        ):
            refused = await site.client.request(method, path, headers=headers(key), json={"model": SECOND})
            assert code(refused) == expected
        if admins:
            assert await unchanged(site)


async def test_where_everyone_may_call_nobody_may_change_what_is_served() -> None:
    async with serving_fleet(Fleet(FIRST), auth={"admin_keys": ""}) as site:
        assert (await site.post()).status_code == 200
        assert code(await site.client.get(PATH)) == (401, "missing_api_key")


async def test_a_key_with_the_scope_opens_too() -> None:
    async with serving_fleet(Fleet(FIRST), auth={"admin_keys": ""}) as site:
        _, text = await KeyStore(site.jobs.database).create("operator", ["admin"])
        assert (await site.client.get(PATH, headers=headers(text))).status_code == 200
        assert code(await site.post(headers=headers(text))) == (403, "scope_missing")


async def test_an_admin_key_in_either_form_opens_all() -> None:
    digest = f"sha256:{hashlib.sha256(b'root-key').hexdigest()}"
    for key in ("root-key", digest):
        async with serving_fleet(Fleet(FIRST, SECOND), auth={"keys": "caller", "admin_keys": key}) as site:
            assert (await load_model(site, model=SECOND))["state"] == "ready"
            site.client.headers["authorization"] = "Bearer root-key"
            assert (await site.post()).status_code == 200


async def test_admin_keys_alone_leave_the_rest_open() -> None:
    async with serving_fleet(Fleet(FIRST)) as site:
        assert (await site.post()).status_code == 200
        assert code(await site.client.get(PATH)) == (401, "missing_api_key")


async def unchanged(site: Site) -> bool:
    models = site.service.models
    return list(models.by_id) == [FIRST] and models.by_id[FIRST].state == "ready" and models.by_id[FIRST].weight == 100
