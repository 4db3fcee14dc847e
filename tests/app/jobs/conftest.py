"""A database of the test's own: SQLite, and PostgreSQL where one is installed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.connect import database_url, open_database
from tests.app.database.postgres import postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty database with all tables."""
    given = "" if request.param == "sqlite" else postgres_url()
    opened = await open_database(database_url(given, tmp_path))
    yield opened
    await opened.dispose()
