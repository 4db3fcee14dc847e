"""`/`: the page for people, which calls this service from a browser.

The page is plain HTML, CSS and ES modules in `app/web/page`, without a build step. Its Content-Security-Policy (W3C CSP
3) lets it load files from this service only, and call this service only; Trusted Types (W3C) keep its scripts from
turning text into markup. The addresses in it are relative, so that it also works behind a path prefix. Knows nothing
about what the page does.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.api.app_state import app_state
from app.core.errors import NotFound
from app.version import package_version

router = APIRouter(include_in_schema=False)

PAGE_FOLDER = Path(__file__).parent.parent / "web" / "page"
INDEX = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src blob:",  # a recording that the reader chose or made is played from memory
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_HEADERS = {
    # A browser asks each time whether the file is still the same, so that a new version is used at once.
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_INDEX_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "vary": "accept",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page. etag: its entity tag (RFC 9110, 8.8.3), a digest of the content."""

    content: bytes
    media_type: str
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Return the files that are served, by name. Everything in the folder whose type is known is one of them."""
    return {
        path.name: PageFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        for path in sorted(PAGE_FOLDER.iterdir())
        if path.suffix in MEDIA_TYPES
        for content in (path.read_bytes(),)
    }


@router.get("/")
async def root(request: Request) -> Response:
    """Return the page; to a client that takes JSON and no HTML, where to go on. If the page is switched off, the answer
    is a redirect to `/docs`.
    """
    root_path = request.scope.get("root_path", "")
    if not _accepts_html(request.headers.get("accept", "")):
        return JSONResponse(
            {
                "service": "speechsum",
                "version": package_version(),
                "documentation": f"{root_path}/docs",
                "openapi": f"{root_path}/openapi.json",
            },
            headers={"vary": "accept"},
        )
    if not _is_on(request):
        return RedirectResponse(f"{root_path}/docs", headers={"vary": "accept"})
    return _file_response(request, page_files()[INDEX], _INDEX_HEADERS)


@router.get("/page/{name}")
async def page_file(request: Request, name: str) -> Response:
    """Return a file that the page loads. Raises NotFound (404) for any other name, and if the page is switched off."""
    found = page_files().get(name) if name != INDEX and _is_on(request) else None
    if found is None:
        raise NotFound(f"There is no {name[:100]!r} here.", code="not_found")
    return _file_response(request, found, {})


def _is_on(request: Request) -> bool:
    return app_state(request).service.settings.server.page


def _accepts_html(accept: str) -> bool:
    """Return whether a client takes HTML. One that asks for JSON alone does not; one that says nothing, or names
    neither, takes anything.
    """
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "application/json" not in kinds or bool(kinds & {"text/html", "application/xhtml+xml"})


def _file_response(request: Request, file: PageFile, headers: dict[str, str]) -> Response:
    """Return a file, or the status 304 if the client has it already (`If-None-Match`, RFC 9110, 13.1.2)."""
    headers = {**_HEADERS, **headers, "etag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
