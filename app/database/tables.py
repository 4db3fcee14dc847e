"""The tables of the database. Times are Unix seconds. A change here needs a migration in `app.database.migrations`.

Knows nothing about connections, or about what is done with the rows.
"""

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

JOBS = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(128), nullable=False),  # the owner of the caller's API key; empty without a key
    Column("caller", String(128), nullable=False, server_default=""),  # who waiting jobs are counted for
    Column("state", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("expires", Float(53)),  # when the job and its result are deleted
    Column("fields", JSON, nullable=False),  # the fields of the request, as pairs of name and value
    Column("blob", String(255), nullable=False),
    Column("blob_bytes", BigInteger, nullable=False),
    Column("webhook", Text),
    Column("attempt", Integer, nullable=False, default=0),
    Column("leased_by", String(64)),
    Column("fence", Integer, nullable=False, server_default="0"),  # grows whenever the job is claimed or released
    Column("renewals", Integer, nullable=False, server_default="0"),  # grows while the job's worker lives
    Column("stage", String(32)),
    Column("done", Integer),
    Column("of", Integer),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),  # status and body of the error
    Index("jobs_by_state", "state", "created", "id"),
    Index("jobs_by_owner", "owner", "created", "id"),
)

DELIVERIES = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),  # the webhook's id, the same at every attempt
    Column("job", String(64), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("host", String(300), nullable=False, server_default=""),  # of the URL, with its port
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("due", Float(53), nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("said", Text),  # the outcome of the last attempt
    Index("deliveries_due", "state", "due"),
)

ANSWERS = Table(
    "answers",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),  # the header Idempotency-Key
    Column("fingerprint", String(64), nullable=False),  # SHA-256 of the request's content
    Column("token", String(32), nullable=False),  # of the request that works on the response, or did
    Column("renewals", Integer, nullable=False, server_default="0"),  # grows while the service of the request lives
    Column("until", Float(53), nullable=False),  # when the response is deleted; unused while the request is in progress
    Column("job", String(64), index=True),  # the job that the request queued, if it queued one
    Column("status", Integer),  # null while the request is in progress
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
    Column("requests_per_minute", Integer),  # null uses the quota of the settings
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
    Column("secret", String(128), primary_key=True),  # in plain text, because a digest cannot sign
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53)),  # when a replaced secret stops signing beside its successor
)

VOCABULARIES = Table(
    "vocabularies",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("terms", JSON, nullable=False),  # names and terms, in the order in which they were given
)

USAGE = Table(
    "usage",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("quota", String(32), primary_key=True),
    Column("began", BigInteger, nullable=False),  # the beginning of the window that is counted
    Column("used", Float(53), nullable=False),
)

TEMPLATES = Table(
    "templates",
    metadata,
    Column("owner", String(128), primary_key=True),  # of the API key; empty for the set of callers without keys
    Column("name", String(64), primary_key=True),
    Column("content", JSON, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("updated", Float(53), nullable=False),
)
