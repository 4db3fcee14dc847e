"""The vocabulary of each API key: names and terms that may occur in all of its recordings.

Knows nothing about HTTP, or about what is done with the terms.
"""

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.rows import read_connection
from app.database.tables import VOCABULARIES


class VocabularyStore:
    """The vocabularies in the database, by owner."""

    def __init__(self, database: AsyncEngine) -> None:
        self.database = database

    async def get(self, owner: str) -> tuple[str, ...]:
        """Return the owner's terms, in their order; none if there are none, or if nobody is the owner."""
        if not owner:
            return ()
        query = select(VOCABULARIES.c.terms).where(VOCABULARIES.c.owner == owner)
        async with read_connection(self.database) as connection:
            return tuple((await connection.execute(query)).scalar() or ())

    async def replace(self, owner: str, terms: tuple[str, ...]) -> None:
        """Set the owner's terms. Without terms nothing is kept."""
        async with self.database.begin() as connection:
            await connection.execute(delete(VOCABULARIES).where(VOCABULARIES.c.owner == owner))
            if terms:
                await connection.execute(insert(VOCABULARIES).values(owner=owner, terms=list(terms)))
