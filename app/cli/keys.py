"""`speechsum keys`: the commands `create`, `list`, `revoke` and `rotate-webhook`.

A running service sees a change at the next request.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.configuration import load_settings, start_logging
from app.cli.program import new_command_app
from app.core.errors import ServiceError
from app.database.connection import configured_url, open_database
from app.keys.authenticator import DIGEST_BYTES, Authenticator
from app.keys.store import DEFAULT_SCOPES, SCOPES, KeyStore, StoredKey
from app.keys.webhook_secrets import WebhookSecrets
from app.settings import Settings, setting_name

DAY_SECONDS = 86_400
HOUR_SECONDS = 3600
DIGEST_PREFIX = "sha256:"
Action = Callable[[Settings, AsyncEngine], Awaitable[None]]

app = new_command_app("Create, list and revoke API keys and the secrets of their webhooks.")


@app.command(short_help="Create a key and print it.")
def create(
    name: Annotated[str, typer.Argument(help="The name of the key's holder, shown by `keys list`.")],
    scopes: Annotated[
        str,
        typer.Option(help=f"What the key may do, separated by commas; the scopes are {', '.join(SCOPES)}."),
    ] = ",".join(DEFAULT_SCOPES),
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            help="Quota of requests and jobs in a minute; 0 means no limit, and without the option the setting "
            f"{setting_name('auth', 'requests_per_minute')} applies."
        ),
    ] = None,
    audio_minutes_per_day: Annotated[
        float | None,
        typer.Option(
            help="Quota of audio minutes in a day (UTC); 0 means no limit, and without the option the setting "
            f"{setting_name('auth', 'audio_minutes_per_day')} applies."
        ),
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="Days until the key expires; without the option it never does.")
    ] = None,
    webhook_secret: Annotated[
        bool,
        typer.Option(
            "--webhook-secret",
            help="Also create a secret that signs the webhooks of this key's jobs, and print it as the second line.",
        ),
    ] = False,
) -> None:
    """Create a key and print its text, which is not shown again."""
    given = {"requests-per-minute": requests_per_minute, "audio-minutes-per-day": audio_minutes_per_day, "days": days}
    for option, value in given.items():
        if value is not None and value < 0:
            raise ValueError(f"--{option} is {value:g}; it must not be less than 0")

    async def create_key(settings: Settings, database: AsyncEngine) -> None:
        key, text = await KeyStore(database).create(
            name,
            [scope.strip() for scope in scopes.split(",") if scope.strip()],
            requests_per_minute,
            audio_minutes_per_day,
            None if days is None else days * DAY_SECONDS,
        )
        print(text)
        print(f"This is the key {key.id}. Its text is not stored and cannot be shown again.", file=sys.stderr)
        if webhook_secret:
            print(await WebhookSecrets(database, []).rotate(key.id, 0))
            print("The second line is the secret that signs the webhooks of its jobs.", file=sys.stderr)
        if not Authenticator(settings.auth).keys_required:
            print(
                "Warning: the service does not require keys, so requests without a key are accepted and have no "
                f"quotas. To refuse them, set {setting_name('auth', 'required')}=true and restart the service.",
                file=sys.stderr,
            )

    _run_with_database(create_key)


@app.command("list", short_help="List every key.")
def list_() -> None:
    """List every key with its quotas and its last use, but without its text."""
    _run_with_database(_list_keys)


@app.command(short_help="Revoke a key.")
def revoke(id: Annotated[str, typer.Argument(help="The id of the key, as `keys list` shows it.")]) -> None:
    """Revoke a key, so that it is no longer accepted."""

    async def revoke_key(settings: Settings, database: AsyncEngine) -> None:
        if not await KeyStore(database).revoke(id):
            raise ValueError(f"there is no key {id!r} that is not revoked; `speechsum keys list` shows the keys")

    _run_with_database(revoke_key)


@app.command(short_help="Create a new secret for webhooks.")
def rotate_webhook(
    id: Annotated[
        str,
        typer.Argument(
            help=f"The id of the key, as `keys list` shows it, or `{DIGEST_PREFIX}<hex digest>` for a key of the "
            "settings."
        ),
    ],
    overlap_hours: Annotated[
        float,
        typer.Option(help="Hours for which the previous secret also signs, so that the receiver can change."),
    ] = 24,
) -> None:
    """Create a new secret for the webhooks of a key's jobs, or the first one, and print it; it is not shown again."""
    if not 0 <= overlap_hours < float("inf"):
        raise ValueError(f"--overlap-hours is {overlap_hours:g}; it must be 0 or more")

    async def rotate_secret(settings: Settings, database: AsyncEngine) -> None:
        owner = await _find_owner(database, id)
        secrets = WebhookSecrets(database, [])
        has_previous = owner in await secrets.owners_with_secrets()
        print(await secrets.rotate(owner, overlap_hours * HOUR_SECONDS))
        overlap = f" The previous secret also signs for {overlap_hours:g} hours." if has_previous else ""
        print(f"This secret signs the webhooks of the key's jobs from now on.{overlap}", file=sys.stderr)

    _run_with_database(rotate_secret)


def _run_with_database(action: Action) -> None:
    settings = load_settings()
    start_logging(settings)
    asyncio.run(_with_database(settings, action))


async def _with_database(settings: Settings, action: Action) -> None:
    database = await open_database(configured_url(settings.jobs))
    try:
        await action(settings, database)
    except ServiceError as error:
        raise ValueError(error.message) from error
    finally:
        await database.dispose()


async def _list_keys(settings: Settings, database: AsyncEngine) -> None:
    with_secret = await WebhookSecrets(database, []).owners_with_secrets()
    for key in await KeyStore(database).list_keys():
        columns = (
            key.id,
            _date_text(key.created),
            f"{_state_text(key):22}",
            f"{_last_use_text(key):26}",
            f"{_quota_text(key.requests_per_minute, settings.auth.requests_per_minute, 'requests/min'):28}",
            f"{_quota_text(key.audio_minutes_per_day, settings.auth.audio_minutes_per_day, 'audio min/day'):30}",
            "own webhook secret" if key.id in with_secret else f"{'':18}",
            f"{','.join(sorted(key.scopes)):16}",
            key.name,
        )
        print("  ".join(columns))


async def _find_owner(database: AsyncEngine, id_: str) -> str:
    """Return the name under which a key's jobs are kept. Raises ValueError if there is no such key."""
    digest = id_.removeprefix(DIGEST_PREFIX).lower()
    if id_.startswith(DIGEST_PREFIX) and len(digest) == DIGEST_BYTES * 2 and set(digest) <= set("0123456789abcdef"):
        return digest
    if (key := await KeyStore(database).get(id_)) is None or key.revoked is not None:
        raise ValueError(
            f"there is no key {id_!r} that is not revoked; `speechsum keys list` shows the keys, and the id of a key "
            f"of the setting {setting_name('auth', 'keys')} is {DIGEST_PREFIX}<hex digest of its text>"
        )
    return key.id


def _quota_text(own: float | None, default: float, unit: str) -> str:
    """Return the quota that applies: the key's own, or the default of the settings."""
    limit = default if own is None else own
    return (f"{limit:g} {unit}" if limit else f"any {unit}") + (" (default)" if own is None else "")


def _last_use_text(key: StoredKey) -> str:
    if key.last_used is None:
        return "never used"
    return f"last used {time.strftime('%Y-%m-%d %H:%M', time.gmtime(key.last_used))}"


def _state_text(key: StoredKey) -> str:
    if key.revoked is not None:
        return f"revoked {_date_text(key.revoked)}"
    if not key.is_valid(time.time()):
        return "expired"
    return "valid" if key.expires is None else f"valid until {_date_text(key.expires)}"


def _date_text(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
