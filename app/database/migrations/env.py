"""Alembic's way in: the service hands over its connection, in whose transaction all migrations run.

By hand, after a change of the tables, on a scratch database (`alembic.ini` is in the repository's `deploy/`):

    alembic -c deploy/alembic.ini revision --autogenerate -m "what changed"
"""

from alembic import context
from sqlalchemy import create_engine

from app.database.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    connection = create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://").connect()
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
