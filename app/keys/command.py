"""`speechsum keys create`, `list` and `revoke`. A running service sees a change at its next request."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from app.database.connect import open_database, url_of
from app.keys.store import SCOPES, USUAL_SCOPES, KeyStore, StoredKey
from app.settings import Settings

DAY = 86_400


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its own commands."""
    keys = commands.add_parser("keys", help="make, list and revoke API keys")
    actions = keys.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key; its text is printed this once")
    create.add_argument("name", help="whose it is, for your own list")
    create.add_argument(
        "--scopes", default=",".join(USUAL_SCOPES), help=f"what it may do, separated by commas, of {', '.join(SCOPES)}"
    )
    create.add_argument("--requests-per-minute", type=int, help="0 is no limit; what the settings say if left out")
    create.add_argument("--audio-minutes-per-day", type=float, help="likewise")
    create.add_argument("--days", type=float, help="after which it is over; never if left out")
    actions.add_parser("list", help="every key, but not its text")
    revoke = actions.add_parser("revoke", help="a key opens nothing any more")
    revoke.add_argument("id")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """One action; returns the exit status. Raises ValueError for what makes no sense."""
    action = {"create": _create, "list": _list, "revoke": _revoke}[options.action]
    return asyncio.run(_with_store(settings, lambda store: action(store, options)))


async def _with_store(settings: Settings, act: Callable[[KeyStore], Awaitable[int]]) -> int:
    database = await open_database(url_of(settings.jobs))
    try:
        return await act(KeyStore(database))
    finally:
        await database.dispose()


async def _create(store: KeyStore, options: argparse.Namespace) -> int:
    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    for name in ("requests_per_minute", "audio_minutes_per_day", "days"):
        if (given := getattr(options, name)) is not None and given < 0:
            raise ValueError(f"--{name.replace('_', '-')} is {given:g}; it cannot be less than 0")
    key, text = await store.create(
        options.name,
        scopes,
        options.requests_per_minute,
        options.audio_minutes_per_day,
        None if options.days is None else options.days * DAY,
    )
    print(text)
    print(f"This is the key {key.id}. It is not kept and cannot be shown again.", file=sys.stderr)
    return 0


async def _list(store: KeyStore, _: argparse.Namespace) -> int:
    for key in await store.all():
        print(f"{key.id}  {_day(key.created)}  {_state(key):22}  {','.join(sorted(key.scopes)):16}  {key.name}")
    return 0


async def _revoke(store: KeyStore, options: argparse.Namespace) -> int:
    if not await store.revoke(options.id):
        raise ValueError(f"there is no key {options.id!r} that is not revoked; `speechsum keys list` shows them")
    return 0


def _state(key: StoredKey) -> str:
    if key.revoked is not None:
        return f"revoked {_day(key.revoked)}"
    if not key.opens(time.time()):
        return "over"
    return "opens" if key.expires is None else f"opens until {_day(key.expires)}"


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
