"""What every test in the browser has: a browser for each module, and for each test a service and an open page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.app.running_service import Site
from tests.app.web.browser import FAKE_MICROPHONE, Visit, open_browser, serving_talks, visiting
from tests.npm_packages import install_packages


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser(*FAKE_MICROPHONE) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def talks() -> AsyncIterator[Site]:
    async with serving_talks() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, talks: Site) -> AsyncIterator[Visit]:
    async with visiting(browser, talks) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    return (install_packages(Path(__file__).parent / "axe", "axe") / "axe-core/axe.min.js").read_text()
