"""`/`: what is served of the page, with which headers, and what it may load."""

import re

import pytest

from app.api.page import INDEX, PAGE_FOLDER, page_files
from tests.app.running_service import Site, code, serving

MOST_BYTES = 100_000  # of the whole page, uncompressed
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SOURCES = {name: file.content.decode() for name, file in page_files().items()}
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}

module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_a_browser_gets_the_page_under_a_strict_policy(shared: Site) -> None:
    page = await shared.client.get("/", headers=BROWSER)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    rules = dict(rule.partition(" ")[::2] for rule in page.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["base-uri"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert not [rule for rule in rules.values() if "unsafe" in rule or "*" in rule or "http" in rule]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["permissions-policy"].startswith("microphone=(self)")
    assert page.headers["vary"] == "accept"


@module_loop
async def test_everything_that_the_page_loads_is_here(shared: Site) -> None:
    loaded = set(re.findall(r'(?:src|href)="(page/[^"]+)"', SOURCES[INDEX]))
    for text in SCRIPTS.values():
        loaded |= {f"page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)}
    assert len(loaded) > 15
    assert {f"page/{name}" for name in SOURCES if name != INDEX} == loaded, "a file is missing, or nothing loads it"
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for path in loaded:
        answer = await shared.client.get(f"/{path}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(types[path.rpartition(".")[2]])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@module_loop
@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/page.css"])
async def test_a_browser_asks_again_and_hears_that_nothing_changed(shared: Site, path: str) -> None:
    first = await shared.client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    for tag in (first.headers["etag"], f"W/{first.headers['etag']}", f'"other", {first.headers["etag"]}', "*"):
        again = await shared.client.get(path, headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert (await shared.client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


@module_loop
@pytest.mark.parametrize(
    "path",
    ["/page", "/page/", "/page/index.html", "/page/nothing.js", "/page/..%2f..%2fmain.py", "/page/%2e%2e/docs.html"],
)
async def test_nothing_else_is_served(shared: Site, path: str) -> None:
    assert code(await shared.client.get(path)) == (404, "not_found")


@module_loop
@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain, */*"])
async def test_a_program_that_wants_json_gets_json(shared: Site, accept: str) -> None:
    answer = await shared.client.get("/", headers={"accept": accept})
    assert answer.json()["service"] == "speechsum"
    for name in ("documentation", "openapi"):
        assert (await shared.client.get(answer.json()[name])).status_code == 200
    assert answer.headers["vary"] == "accept"


@module_loop
async def test_openapi_does_not_list_the_page(shared: Site) -> None:
    assert not [path for path in (await shared.client.get("/openapi.json")).json()["paths"] if path.startswith("/page")]


async def test_a_page_that_is_switched_off_leads_to_the_documentation() -> None:
    async with serving(server={"page": False}) as site:
        answer = await site.client.get("/", headers=BROWSER)
        assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
        assert "swagger" in (await site.client.get("/docs")).text
        assert code(await site.client.get("/page/main.js")) == (404, "not_found")
        assert (await site.client.get("/", headers={"accept": "application/json"})).json()["service"] == "speechsum"


def test_the_page_is_small() -> None:
    assert sum(len(file.content) for file in page_files().values()) < MOST_BYTES
    assert all(text.count("\n") < 300 for text in SOURCES.values())
    assert sorted(path.name for path in PAGE_FOLDER.iterdir()) == sorted(SOURCES), "a file is not served"


def test_the_page_loads_nothing_from_elsewhere_and_has_nothing_inline() -> None:
    for name, text in SOURCES.items():
        # The namespace of SVG is a name and no address that anything is fetched from.
        assert "://" not in text.replace('"http://www.w3.org/2000/svg"', ""), name
    html = SOURCES[INDEX]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))
    assert not re.findall(r'(?:src|href)="/', html), "an absolute address breaks behind a prefix"


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_no_script_turns_text_into_markup_or_keeps_a_key(name: str) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML"
    assert not re.search(forbidden, SCRIPTS[name])
    kept = SCRIPTS[name].split("\n\n", 1)[1] if name == "session.js" else SCRIPTS[name]  # its first comment names both
    assert not re.search(r"localStorage|document\.cookie|indexedDB", kept)
