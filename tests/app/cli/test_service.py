"""Which service a command talks to."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app.cli import main
from app.cli.errors import CommandError
from app.cli.progress import Progress
from app.cli.service import configured_address, connect
from app.engine.scripted import ScriptedEngine
from app.settings import URL_VARIABLE, Settings
from tests.checks.threaded_service import serve_in_thread

Captured = pytest.CaptureFixture[str]


@pytest.fixture(params=[200, 403, 404, 502])
def other_program(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a program that is no service, and answers everything with a status and a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()
            self.wfile.write(b"<html>Welcome!</html>")

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_program_at_the_configured_port_is_not_taken_for_a_service(
    other_program: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("SPEECHSUM_PORT", str(other_program))
    with pytest.raises(CommandError, match="No service answers") as error, connect(None, None, Progress()):
        pass
    assert error.value.status == 3


def test_another_program_that_is_named_is_an_error(other_program: int, capfd: Captured) -> None:
    assert main(["jobs", "list", "--server", f"http://127.0.0.1:{other_program}"]) != 0
    error = capfd.readouterr().err
    assert error.startswith("speechsum: ")
    assert "Traceback" not in error


def test_a_service_that_loads_its_model_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.service.LOADING_POLL_SECONDS", 0.05)
    with serve_in_thread(ScriptedEngine(start_s=1.0), ready=False) as site:
        url = f"http://127.0.0.1:{site.port}"
        with connect(url, None, Progress()) as connection:
            assert connection.client.models() == [], "a command about jobs does not wait"
        with connect(url, None, Progress(), wants_answer=True) as connection:
            assert [model.name for model in connection.client.models()] == ["test-model"]


def test_a_proxy_of_the_environment_does_not_get_what_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serve_in_thread() as site, connect(f"http://localhost:{site.port}", None, Progress()) as connection:
        assert connection.client.models()


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", 8000, "http://127.0.0.1:8000"),
        ("0.0.0.0", 80, "http://127.0.0.1:80"),
        ("::", 8000, "http://[::1]:8000"),
        ("localhost", 0, None),
    ],
)
def test_the_configured_address_is_one_that_this_machine_reaches(host: str, port: int, address: str | None) -> None:
    assert configured_address(Settings(host=host, port=port)) == address
