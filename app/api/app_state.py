"""The parts of the running application that routes use, with their types.

Starlette's `app.state` is untyped; every route reads it through `app_state`. Knows nothing about what the parts do.
"""

from typing import Protocol

from starlette.requests import Request

from app.jobs.queue import JobQueue
from app.keys.authenticator import Authenticator
from app.server.shutdown import DrainEvent, StopEvent
from app.service import Service
from app.templates.store import TemplateStore


class AppState(Protocol):
    """What `app.main.create_app` puts into `app.state`.

    `draining` is set as soon as the service is told to stop, `stopping` when it takes no more requests.
    """

    service: Service
    jobs: JobQueue
    keys: Authenticator
    templates: TemplateStore
    draining: DrainEvent
    stopping: StopEvent


def app_state(request: Request) -> AppState:
    """Return the state of the application that received the request."""
    state: AppState = request.app.state
    return state
