"""What many tests need: a plain service, and a database of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.connection import database_url, open_database
from tests.app.database.migrated import migrated_postgres_url, write_migrated_file
from tests.app.running_service import Site, serving
from tests.model_repo.hub_fixtures import hub, no_hub

__all__ = ["hub", "no_hub"]


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


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty database with all tables: SQLite, and PostgreSQL where one is installed."""
    write_migrated_file(tmp_path)
    given = "" if request.param == "sqlite" else migrated_postgres_url()
    opened = await open_database(database_url(given, tmp_path))
    yield opened
    await opened.dispose()
