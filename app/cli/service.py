"""Finds the service that a command talks to: the one that is named, one that runs where the settings say, or, if the
command allows it, one that is started for this command alone.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import typer
from speechsum_client import Client, ConnectionFailed, InvalidAnswer, NotFound, RetryPolicy, ServiceError

from app.cli.configuration import load_settings
from app.cli.errors import CommandError
from app.cli.exit_statuses import NO_SERVICE, USAGE_ERROR
from app.cli.progress import Progress
from app.service_address import ANSWER_SECONDS, is_loopback
from app.settings import API_KEY_VARIABLE, URL_VARIABLE, Settings, setting_name

PROBE_SECONDS = 3.0  # for the answer of a service that may not be there
LOADING_SECONDS = 1800.0  # for a service that is loading its model
LOADING_POLL_SECONDS = 1.0
ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}

ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar=URL_VARIABLE, help="Address of the service, http://host:port."),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar=API_KEY_VARIABLE,
        help="API key, if the service wants one. Better set the variable: others on the machine can read options.",
    ),
]


@dataclass(frozen=True)
class Connection:
    """A service that answers. model: what requests name as their model; None is the service's default."""

    client: Client
    url: str
    model: str | None


@contextmanager
def connect(
    server: str | None, api_key: str | None, progress: Progress, *, model: str | None = None, wants_answer: bool = False
) -> Iterator[Connection]:
    """Hold a connection to a service until the block ends.

    Args:
        server: Its address; None looks at the address of the settings.
        api_key: The key, if it wants one.
        progress: Told what is waited for.
        model: The model that is asked for.
        wants_answer: Whether a model must be ready: a service that loads it is waited for, and a service is started for
            this block if none answers at the address of the settings.

    Raises:
        CommandError: No service answers, or none could be started.
        SpeechsumError: The service answers with an error.
    """
    settings = None if server is not None else load_settings()
    url = server if settings is None else configured_address(settings)
    if url is not None:
        with open_clients(url, api_key) as (client, probe):
            if _answers(probe, url, is_named=server is not None):
                if wants_answer:
                    _wait_until_loaded(client, progress)
                yield Connection(client, url, model)
                return
    where = f"at {url}" if url else f"at a known address, because {setting_name('port')} is 0"
    if settings is None or not wants_answer:
        raise CommandError(
            f"No service answers {where}. Start one with `speechsum serve`, or name one with --server.", NO_SERVICE
        )
    with _start_service(settings, model, where, progress) as connection:
        yield connection


def configured_address(settings: Settings) -> str | None:
    """Return the address at which a service with these settings is reached from this machine; None if it is open."""
    if settings.port == 0:
        return None
    host = ALL_ADDRESSES.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@contextmanager
def open_clients(url: str, api_key: str | None) -> Iterator[tuple[Client, Client]]:
    """Hold a client, and another one that gives up soon, until the block ends. Raises CommandError for an address that
    is none.
    """
    quick: dict[str, Any] = {"idle_timeout": PROBE_SECONDS, "connect_timeout": PROBE_SECONDS}
    with httpx.Client(trust_env=not is_loopback(url)) as http:
        try:
            client = Client(url, api_key, timeout=ANSWER_SECONDS, http=http)
            probe = Client(url, api_key, retry=RetryPolicy(retries=0), http=http, **quick)
        except ValueError:
            raise CommandError(
                f"The address of the service is {url!r}; it must be one such as http://127.0.0.1:8000.", USAGE_ERROR
            ) from None
        yield client, probe


@contextmanager
def _start_service(settings: Settings, model: str | None, where: str, progress: Progress) -> Iterator[Connection]:
    from app.cli.child_service import run_child_service

    print(f"No service answers {where}, so the model is started for this command.", file=sys.stderr)
    with progress.task("Starting the model") as task, run_child_service(settings, model, task.describe) as child:
        task.end()
        with open_clients(child.url, child.api_key) as (client, _):
            yield Connection(client, child.url, None)


def _answers(probe: Client, url: str, *, is_named: bool) -> bool:
    """Return whether a service answers. is_named: raise CommandError if none does, because the user named it."""
    try:
        probe.models()
        return True
    except ConnectionFailed as error:
        if is_named:
            raise CommandError(
                f"No service answers at {url} ({error}). Start one with `speechsum serve`, or leave --server out.",
                NO_SERVICE,
            ) from error
    except (InvalidAnswer, NotFound) as error:
        if is_named:
            raise CommandError(f"What answers at {url} is not a speechsum service: {error}", NO_SERVICE) from error
    except ServiceError as error:
        if is_named or not is_foreign(error):
            raise
    return False


def is_foreign(error: ServiceError) -> bool:
    """Return whether an error is another program's, which has none of the service's codes."""
    return error.code == f"status_{error.status}"


def _wait_until_loaded(client: Client, progress: Progress) -> None:
    """Wait while the service loads its first model. If that fails, the request for a summary will say why."""
    if client.models():
        return
    end = time.monotonic() + LOADING_SECONDS
    with progress.task("Waiting until the service has loaded its model"):
        while time.monotonic() < end and any(model.state == "loading" for model in client.models(all=True)):
            time.sleep(LOADING_POLL_SECONDS)
