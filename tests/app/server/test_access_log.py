"""Neither the id of a kept recording nor the values of a query stand in the access log."""

import logging

import pytest

from app.server.uvicorn_config import uvicorn_config
from tests.app.running_service import settings_for

ID = "rec-0123456789abcdef0123456789abcdef"


class LinesHandler(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def application(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        (f"/v1/recordings/{ID}", "/v1/recordings/rec-0123…"),
        (f"/v1/audio/summaries?focus=my+knee&recording_id={ID}", "/v1/audio/summaries?…"),
    ],
)
def test_what_a_caller_sent_is_left_out(path: str, logged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uvicorn_config(application, settings_for())
    handler, access = LinesHandler(), logging.getLogger("uvicorn.access")
    monkeypatch.setattr(access, "handlers", [handler])
    monkeypatch.setattr(access, "level", logging.INFO)
    access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 200)
    (line,) = handler.lines
    assert line == f'127.0.0.1:1 - "GET {logged} HTTP/1.1" 200'
