"""Fencing tokens of jobs and answers, hosts and secrets of webhooks, the last use of keys"""

from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("caller", sa.String(length=128), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("fence", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("renewals", sa.Integer(), nullable=False, server_default="0"))
        batch_op.drop_column("leased_until")
    op.execute("UPDATE jobs SET caller = owner")
    with op.batch_alter_table("deliveries") as batch_op:
        batch_op.add_column(sa.Column("host", sa.String(length=300), nullable=False, server_default=""))
    _fill_hosts()
    with op.batch_alter_table("answers") as batch_op:
        batch_op.add_column(sa.Column("renewals", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("job", sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f("ix_answers_job"), ["job"], unique=False)
    with op.batch_alter_table("keys") as batch_op:
        batch_op.add_column(sa.Column("last_used", sa.Float(precision=53), nullable=True))
    op.create_table(
        "webhook_secrets",
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("expires", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("owner", "secret"),
    )


def _fill_hosts() -> None:
    deliveries = sa.table("deliveries", sa.column("id"), sa.column("url"), sa.column("host"))
    connection = op.get_bind()
    for id_, url in connection.execute(sa.select(deliveries.c.id, deliveries.c.url)).all():
        host = urlsplit(url).netloc.lower()[:300]
        connection.execute(deliveries.update().where(deliveries.c.id == id_).values(host=host))


def downgrade() -> None:
    op.drop_table("webhook_secrets")
    with op.batch_alter_table("keys") as batch_op:
        batch_op.drop_column("last_used")
    with op.batch_alter_table("answers") as batch_op:
        batch_op.drop_index(batch_op.f("ix_answers_job"))
        batch_op.drop_column("job")
        batch_op.drop_column("renewals")
    with op.batch_alter_table("deliveries") as batch_op:
        batch_op.drop_column("host")
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("leased_until", sa.Float(precision=53), nullable=True))
        batch_op.drop_column("renewals")
        batch_op.drop_column("fence")
        batch_op.drop_column("caller")
