"""One plain service for the tests that need nothing special."""

from collections.abc import AsyncIterator

import pytest

from tests.app.site import Site, serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as running:
        yield running
