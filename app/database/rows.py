"""Two operations that all tables share: reading beside a writer, and claiming one of the rows that wait.

Knows nothing about what the rows are.
"""

from typing import Any

from sqlalchemy import RowMapping, Select, Table, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

READ_ONLY_OPTION = "speechsum_reads"  # execution option of a connection that writes nothing


def read_connection(database: AsyncEngine) -> AsyncConnection:
    """Return a read-only connection, to be entered with `async with`. It does not wait for writers, nor they for it."""
    return database.execution_options(**{READ_ONLY_OPTION: True}).connect()


async def claim_row(database: AsyncEngine, table: Table, waiting: Select[Any], **change: Any) -> RowMapping | None:
    """Change the first of the waiting rows and return it as it is then; None if no row waits.

    Several callers at the same time get different rows (`FOR UPDATE SKIP LOCKED`; SQLite has one writer at a time).

    Args:
        waiting: selects the ids of the waiting rows, in order.
        change: the new values of columns.
    """
    async with database.begin() as connection:
        id_ = (await connection.execute(waiting.limit(1).with_for_update(skip_locked=True))).scalar()
        if id_ is None:
            return None
        statement = update(table).where(table.c.id == id_).values(**change).returning(*table.c)
        return (await connection.execute(statement)).mappings().one()
