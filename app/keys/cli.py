"""The commands `speechsum keys create`, `list`, `revoke` and `rotate-webhook`.

A running service sees a change at the next request.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.errors import ServiceError
from app.database.connection import configured_url, open_database
from app.keys.authenticator import DIGEST_BYTES, Authenticator
from app.keys.store import DEFAULT_SCOPES, SCOPES, KeyStore, StoredKey
from app.keys.webhook_secrets import WebhookSecrets
from app.settings import Settings, setting_name

DAY_SECONDS = 86_400
HOUR_SECONDS = 3600
DIGEST_PREFIX = "sha256:"
Action = Callable[[Settings, AsyncEngine, argparse.Namespace], Awaitable[int]]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `keys` and its subcommands."""
    keys = commands.add_parser("keys", help="create, list and revoke API keys and the secrets of their webhooks")
    actions = keys.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="create a key and print its text, which is not shown again")
    create.add_argument("name", help="the name of the key's holder, shown by `keys list`")
    create.add_argument(
        "--scopes",
        default=",".join(DEFAULT_SCOPES),
        help=f"what the key may do, separated by commas; the scopes are {', '.join(SCOPES)}",
    )
    create.add_argument(
        "--requests-per-minute",
        type=int,
        help="quota of requests and jobs in a minute; 0 means no limit, and without the option the setting "
        f"{setting_name('auth', 'requests_per_minute')} applies",
    )
    create.add_argument(
        "--audio-minutes-per-day",
        type=float,
        help="quota of audio minutes in a day (UTC); 0 means no limit, and without the option the setting "
        f"{setting_name('auth', 'audio_minutes_per_day')} applies",
    )
    create.add_argument("--days", type=float, help="days until the key expires; without the option it never does")
    create.add_argument(
        "--webhook-secret",
        action="store_true",
        help="also create a secret that signs the webhooks of this key's jobs, and print it as the second line",
    )
    actions.add_parser("list", help="list every key with its quotas and its last use, but without its text")
    revoke = actions.add_parser("revoke", help="revoke a key, which then is no longer accepted")
    revoke.add_argument("id", help="the id of the key, as `keys list` shows it")
    rotate = actions.add_parser(
        "rotate-webhook",
        help="create a new secret for the webhooks of a key's jobs, or the first one, and print it; it is not shown "
        "again",
    )
    rotate.add_argument(
        "id",
        help=f"the id of the key, as `keys list` shows it, or `{DIGEST_PREFIX}<hex digest>` for a key of the settings",
    )
    rotate.add_argument(
        "--overlap-hours",
        type=float,
        default=24,
        help="hours for which the previous secret also signs, so that the receiver can change (default: 24)",
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Run one subcommand and return the exit status. Raises ValueError if an argument cannot be used."""
    actions: dict[str, Action] = {
        "create": _create_key,
        "list": _list_keys,
        "revoke": _revoke_key,
        "rotate-webhook": _rotate_webhook,
    }
    return asyncio.run(_with_database(settings, actions[options.action], options))


async def _with_database(settings: Settings, action: Action, options: argparse.Namespace) -> int:
    database = await open_database(configured_url(settings.jobs))
    try:
        return await action(settings, database, options)
    except ServiceError as error:
        raise ValueError(error.message) from error
    finally:
        await database.dispose()


async def _create_key(settings: Settings, database: AsyncEngine, options: argparse.Namespace) -> int:
    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    for name in ("requests_per_minute", "audio_minutes_per_day", "days"):
        if (value := getattr(options, name)) is not None and value < 0:
            raise ValueError(f"--{name.replace('_', '-')} is {value:g}; it must not be less than 0")
    key, text = await KeyStore(database).create(
        options.name,
        scopes,
        options.requests_per_minute,
        options.audio_minutes_per_day,
        None if options.days is None else options.days * DAY_SECONDS,
    )
    print(text)
    print(f"This is the key {key.id}. Its text is not stored and cannot be shown again.", file=sys.stderr)
    if options.webhook_secret:
        print(await WebhookSecrets(database, []).rotate(key.id, 0))
        print("The second line is the secret that signs the webhooks of its jobs.", file=sys.stderr)
    if not Authenticator(settings.auth).keys_required:
        print(
            "Warning: the service does not require keys, so requests without a key are accepted and have no quotas. To "
            f"refuse them, set {setting_name('auth', 'required')}=true and restart the service.",
            file=sys.stderr,
        )
    return 0


async def _list_keys(settings: Settings, database: AsyncEngine, _: argparse.Namespace) -> int:
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
    return 0


async def _revoke_key(settings: Settings, database: AsyncEngine, options: argparse.Namespace) -> int:
    if not await KeyStore(database).revoke(options.id):
        raise ValueError(f"there is no key {options.id!r} that is not revoked; `speechsum keys list` shows the keys")
    return 0


async def _rotate_webhook(settings: Settings, database: AsyncEngine, options: argparse.Namespace) -> int:
    if not 0 <= options.overlap_hours < float("inf"):
        raise ValueError(f"--overlap-hours is {options.overlap_hours:g}; it must be 0 or more")
    owner = await _find_owner(database, options.id)
    secrets = WebhookSecrets(database, [])
    has_previous = owner in await secrets.owners_with_secrets()
    print(await secrets.rotate(owner, options.overlap_hours * HOUR_SECONDS))
    overlap = f" The previous secret also signs for {options.overlap_hours:g} hours." if has_previous else ""
    print(f"This secret signs the webhooks of the key's jobs from now on.{overlap}", file=sys.stderr)
    return 0


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
