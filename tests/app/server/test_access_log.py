"""No id of a kept recording stands in the access log."""

import logging

import pytest
import uvicorn

from app.server.access_log import shorten_recording_ids
from app.server.uvicorn_config import uvicorn_config
from tests.app.running_service import settings_for

ID = "rec-0123456789abcdef0123456789abcdef"


async def application(*_: object) -> None: ...


@pytest.mark.parametrize("path", [f"/v1/recordings/{ID}", f"/v1/audio/summaries?style=tldr&recording_id={ID}"])
def test_an_id_is_cut_in_the_path_and_in_the_query(path: str, caplog: pytest.LogCaptureFixture) -> None:
    config = uvicorn_config(application, settings_for(), log_config=None)
    assert isinstance(config, uvicorn.Config)
    shorten_recording_ids()
    access = logging.getLogger("uvicorn.access")
    access.propagate = True
    with caplog.at_level(logging.INFO, logger="uvicorn.access"):
        access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 200)
    (message,) = caplog.messages
    assert message == f'127.0.0.1:1 - "GET {path.replace(ID, "rec-0123…")} HTTP/1.1" 200'
    assert ID[9:] not in message
