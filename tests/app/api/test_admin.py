"""Who may change what is served: nobody unless there are admin keys, then these alone; and they open all the rest."""

import hashlib

import pytest

from tests.app.models.fleet import FIRST, PATH, SECOND, Fleet, fleet_serving, loaded
from tests.app.site import Site, code, serving

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
async def test_without_admin_keys_it_is_nobody(method: str, path: str) -> None:
    async with serving(auth={"keys": "caller"}) as site:
        for key in (None, "caller", "other"):
            refused = await site.client.request(method, path, headers=headers(key), json={"model": SECOND})
            assert code(refused) == (403, "admin_disabled")
            assert "SPEECHSUM_AUTH__ADMIN_KEYS" in refused.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_with_them_others_stay_out(method: str, path: str) -> None:
    async with fleet_serving(Fleet(FIRST), auth={"keys": "caller"}) as site:
        for key, expected in (
            (None, (401, "missing_api_key")),
            ("caller", (403, "not_admin")),
            ("other", (401, "invalid_api_key")),
        ):
            refused = await site.client.request(method, path, headers=headers(key), json={"model": SECOND})
            assert code(refused) == expected
        assert await unchanged(site)


async def test_an_admin_key_in_either_form_opens_all() -> None:
    digest = f"sha256:{hashlib.sha256(b'root-key').hexdigest()}"
    for key in ("root-key", digest):
        async with fleet_serving(Fleet(FIRST, SECOND), auth={"keys": "caller", "admin_keys": key}) as site:
            assert (await loaded(site, model=SECOND))["state"] == "ready"
            site.client.headers["authorization"] = "Bearer root-key"
            assert (await site.post()).status_code == 200


async def test_admin_keys_alone_leave_the_rest_open() -> None:
    async with fleet_serving(Fleet(FIRST)) as site:
        assert (await site.post()).status_code == 200
        assert code(await site.client.get(PATH)) == (401, "missing_api_key")


async def unchanged(site: Site) -> bool:
    models = site.service.models
    return list(models.all) == [FIRST] and models.all[FIRST].state == "ready" and models.all[FIRST].weight == 100
