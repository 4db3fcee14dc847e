"""Settings of jobs and webhooks, and the folder of what outlives the process."""

import os
from pathlib import Path

from pydantic import Field, SecretStr

from app.setting_types import CommaSeparated
from app.settings.section import Section


def state_folder() -> Path:
    """Return the default state folder: `speechsum` in the user's XDG state folder."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "speechsum"


class JobSettings(Section):
    """Jobs, and everything else that outlives the process."""

    folder: Path = Field(
        default_factory=state_folder,
        description="Folder of the database and of queued recordings, unless the next two settings name other places. "
        "Empty is `speechsum` in the user's state folder.",
    )
    database: SecretStr = Field(
        SecretStr(""),
        description="URL of the database, such as postgresql://user:password@host/name, which several services may "
        "share. Empty is a SQLite file in the folder.",
    )
    blobs: str = Field(
        "",
        description="Where queued recordings are stored, as an fsspec URL (s3://bucket/path). Empty is in the folder.",
    )
    workers: int = Field(
        2, ge=0, description="Jobs that this service processes at the same time. 0 only accepts and queues jobs."
    )
    max_waiting: int = Field(1000, ge=1, description="Jobs that may wait. More get a 503.")
    max_waiting_per_caller: int = Field(
        250,
        ge=0,
        description="Jobs of one caller (API key, else address) that may wait. More get a 429. 0 means no limit for "
        "one caller.",
    )
    seconds: float = Field(14_400, gt=0, description="Longest processing time of a job, in seconds.")
    lease_seconds: float = Field(
        30,
        gt=0,
        description="Time after which another service takes over a job, or an `Idempotency-Key`, of a service that has "
        "died, in seconds. It counts from when a living service first sees the lease stand still. All services that "
        "share a database must have the same value.",
    )
    attempts: int = Field(
        3, ge=1, description="Attempts after which a job has failed if its service or engine died each time."
    )
    poll_seconds: float = Field(
        1, gt=0, description="Time between two looks at the queue for jobs that other services put there, in seconds."
    )
    keep_seconds: float = Field(86_400, gt=0, description="Time that an ended job and its result are kept, in seconds.")
    repeat_seconds: float = Field(
        86_400,
        gt=0,
        description="Time that the response to a request with an `Idempotency-Key` is kept and repeated, in seconds.",
    )


class WebhookSettings(Section):
    """Webhooks, which tell a caller's server that a job has ended."""

    secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that webhooks are signed with: whsec_ and 24 to 64 bytes in base64 (Standard Webhooks). A "
        "key with its own secret (`speechsum keys rotate-webhook`) uses that instead. Without either, a job that asks "
        "for a webhook is refused.",
    )
    previous_secret: SecretStr = Field(
        SecretStr(""),
        description="The secret before that one. It signs too, so that receivers can change to the new one in their "
        "own time.",
    )
    private_hosts: CommaSeparated[str] = Field(
        default_factory=list,
        description="Hosts, separated by commas, that webhooks may be sent to although their address is not public.",
    )
    seconds: float = Field(15, gt=0, description="Longest time of one delivery, in seconds.")
    at_once: int = Field(
        32,
        ge=1,
        description="Deliveries at the same time. Those for the jobs of one caller take three quarters at most.",
    )
    per_host: int = Field(
        2,
        ge=1,
        description="Deliveries to one host at the same time. A host that did not answer the last one gets only one.",
    )
    delays: CommaSeparated[float] = Field(
        default=[5, 300, 1800, 7200, 18_000, 36_000],
        description="Seconds from each failed delivery to the next attempt, separated by commas. After the last one "
        "the webhook is given up. A host that does not answer gets no deliveries for the same times, by its number of "
        "failures in a row, but for 300 seconds at most.",
    )
