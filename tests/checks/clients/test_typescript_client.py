"""A client that openapi-typescript generates from the document compiles in strict mode and calls every kind of route.

It needs Node.js 20 or newer. The npm packages are kept in the user's cache folder, by the digest of the lock file.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.app.running_service import serving, wav
from tests.npm_packages import install_packages, run

SOURCES = Path(__file__).parent / "typescript"


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder `node_modules` with the installed packages."""
    return install_packages(SOURCES, "typescript")


async def test_every_kind_of_route_is_called(packages: Path, tmp_path: Path) -> None:
    for name in ("package.json", "tsconfig.json", "call.ts"):
        shutil.copy(SOURCES / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "recording.wav").write_bytes(wav())
    # With a key, because a caller without one has no list of jobs.
    async with serving(auth={"keys": ["secret"]}) as site:
        document = (await site.client.get("/openapi.json")).json()
        (tmp_path / "openapi.json").write_text(json.dumps(document))

        def build_and_call() -> str:
            bin_ = packages / ".bin"
            run(tmp_path, str(bin_ / "openapi-typescript"), "openapi.json", "--output", "speechsum.d.ts")
            run(tmp_path, str(bin_ / "tsc"))
            return run(tmp_path, "node", "built/call.js", f"http://127.0.0.1:{site.port}", "recording.wav")

        assert "all routes called" in await asyncio.to_thread(build_and_call)
