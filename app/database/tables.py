"""The tables. Times are Unix seconds; a change here needs a migration in `app.database.migrations`.

Knows nothing about connections or what is done with the rows.
"""

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

JOBS = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(128), nullable=False),  # the caller's key by its digest; empty where there are no keys
    Column("caller", String(128), nullable=False, server_default=""),  # by whom waiting jobs are counted
    Column("state", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("expires", Float(53)),  # when job and result are forgotten
    Column("fields", JSON, nullable=False),  # as the request gave them: pairs of name and value
    Column("blob", String(255), nullable=False),
    Column("blob_bytes", BigInteger, nullable=False),
    Column("webhook", Text),
    Column("attempt", Integer, nullable=False, default=0),
    Column("leased_by", String(64)),
    Column("fence", Integer, nullable=False, server_default="0"),  # grows at every claim and whenever it is given back
    Column("renewals", Integer, nullable=False, server_default="0"),  # grows while its worker lives
    Column("stage", String(32)),
    Column("done", Integer),
    Column("of", Integer),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),  # status and the error's body
    Index("jobs_by_state", "state", "created", "id"),
    Index("jobs_by_owner", "owner", "created", "id"),
)

DELIVERIES = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),  # the webhook's id, the same at every try
    Column("job", String(64), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("host", String(300), nullable=False, server_default=""),  # of the URL, with its port
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("due", Float(53), nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("said", Text),  # what the last try met with
    Index("deliveries_due", "state", "due"),
)

ANSWERS = Table(
    "answers",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),  # of the header Idempotency-Key
    Column("fingerprint", String(64), nullable=False),  # SHA-256 of what was asked
    Column("token", String(32), nullable=False),  # of the request that works on it, or did
    Column("renewals", Integer, nullable=False, server_default="0"),  # grows while the service that works on it lives
    Column("until", Float(53), nullable=False),  # when the answer is forgotten; says nothing while it is worked on
    Column("job", String(64), index=True),  # the job that was queued, if that was asked for
    Column("status", Integer),  # none while it is worked on
    Column("headers", JSON(none_as_null=True)),
    Column("body", LargeBinary),
)

KEYS = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the key's text, as hex
    Column("scopes", JSON, nullable=False),
    Column("requests_per_minute", Integer),  # none is what the settings say
    Column("audio_minutes_per_day", Float(53)),
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53)),
    Column("revoked", Float(53)),
    Column("last_used", Float(53)),  # to within a minute
)

WEBHOOK_SECRETS = Table(
    "webhook_secrets",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("secret", String(128), primary_key=True),  # as its text; a signature cannot be made from a digest
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53)),  # of one that was replaced: until when it signs beside its successor
)

USAGE = Table(
    "usage",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("quota", String(32), primary_key=True),
    Column("began", BigInteger, nullable=False),  # the window that is counted
    Column("used", Float(53), nullable=False),
)
