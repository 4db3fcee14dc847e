"""One plain service for the tests that need nothing special."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.app.site import Site, serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A service of the test's own."""
    async with serving() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Site]:
    """A service for all tests of a module that leave it as it was; they run in the module's loop."""
    async with serving() as running:
        yield running
