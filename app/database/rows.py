"""What every table is used with: reading beside a writer, and taking one row of those that wait.

Knows nothing about what the rows are.
"""

from typing import Any

from sqlalchemy import RowMapping, Select, Table, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

READ_ONLY_OPTION = "speechsum_reads"  # execution option of a connection that writes nothing


def read_connection(database: AsyncEngine) -> AsyncConnection:
    """A connection, to be entered, that only reads: it waits for no writer, and none for it."""
    return database.execution_options(**{READ_ONLY_OPTION: True}).connect()


async def claim_row(database: AsyncEngine, table: Table, waiting: Select[Any], **change: Any) -> RowMapping | None:
    """Change the first of the rows that wait, and return it as it is then; None if none waits.

    waiting: selects ids, in order. Of several that claim at once each gets another row (`FOR UPDATE SKIP LOCKED`;
    SQLite has one writer at a time).
    """
    async with database.begin() as connection:
        id_ = (await connection.execute(waiting.limit(1).with_for_update(skip_locked=True))).scalar()
        if id_ is None:
            return None
        changed = update(table).where(table.c.id == id_).values(**change).returning(*table.c)
        return (await connection.execute(changed)).mappings().one()
