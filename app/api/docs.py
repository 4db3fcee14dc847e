"""`/docs`: the API's documentation as a page that loads nothing from other servers.

The page is Swagger UI, whose files are in `app/web/swagger-ui`. Its Content-Security-Policy (W3C CSP 3) allows it to
load files from this service only, and to call this service only.
"""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

from app.core.errors import NotFound

router = APIRouter(include_in_schema=False)

WEB_FOLDER = Path(__file__).parent.parent / "web"
# The only files in the folder that are served.
ASSETS = {
    "docs.js": (WEB_FOLDER / "docs.js", "text/javascript"),
    "swagger-ui-bundle.js": (WEB_FOLDER / "swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (WEB_FOLDER / "swagger-ui/swagger-ui.css", "text/css"),
    "favicon-32x32.png": (WEB_FOLDER / "swagger-ui/favicon-32x32.png", "image/png"),
}
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets style attributes
        "img-src 'self' data:",  # icons inside its style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


@router.get("/docs")
async def docs() -> FileResponse:
    """Return the page."""
    return FileResponse(
        WEB_FOLDER / "docs.html",
        media_type="text/html",
        headers={"content-security-policy": CONTENT_SECURITY_POLICY, **_HEADERS},
    )


@router.get("/docs/{name}")
async def asset(name: str) -> FileResponse:
    """Return a file that the page loads. Raises NotFound (404) for any other name."""
    if name not in ASSETS:
        raise NotFound(f"There is no {name[:100]!r} here.", code="not_found")
    path, media_type = ASSETS[name]
    return FileResponse(path, media_type=media_type, headers=_HEADERS)
