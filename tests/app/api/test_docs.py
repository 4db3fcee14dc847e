"""`/docs` works without any other server, and lets its page talk to none."""

import hashlib
import re
from pathlib import Path

import pytest

from app.api.docs import ASSETS, WEB_FOLDER
from tests.app.running_service import Site, code


async def test_the_page_loads_only_what_this_service_has(site: Site) -> None:
    page = await site.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for address in loaded:
        answer = await site.client.get(page.url.join(address).path)
        assert answer.status_code == 200
        assert len(answer.content) > 100
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "://" not in page.text
    assert "://" not in (WEB_FOLDER / "docs.js").read_text()


async def test_the_page_may_talk_to_nobody_else(site: Site) -> None:
    policy = (await site.client.get("/docs")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert "<script>" not in (WEB_FOLDER / "docs.html").read_text(), "inline scripts are not run"


async def test_the_page_works_behind_a_prefix() -> None:
    addresses = re.findall(r'(?:src|href)="([^"]+)"', (WEB_FOLDER / "docs.html").read_text())
    assert not [address for address in addresses if address.startswith("/")]
    assert 'url: "openapi.json"' in (WEB_FOLDER / "docs.js").read_text()


@pytest.mark.parametrize("path", ["/redoc", "/docs/README.md", "/docs/..%2fdocs.html", "/docs/swagger-ui"])
async def test_nothing_else_is_served(site: Site, path: str) -> None:
    assert code(await site.client.get(path))[0] == 404


def test_swagger_ui_is_as_it_was_published() -> None:
    folder = WEB_FOLDER / "swagger-ui"
    digests = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(digests) >= {"LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui.css"}
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert all(Path(path).is_file() for path, _ in ASSETS.values())
