"""The command line: `speechsum serve`, `speechsum keys`, `speechsum models`, `speechsum settings`."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

import uvicorn
from dotenv import dotenv_values
from pydantic import ValidationError

from app.keys import command
from app.main import create_app
from app.settings import Settings, env_example, setting_name, unknown_variables
from model_repo import registry

FAILED, MISUSED = 1, 2
PROBES = ("/livez", "/readyz", "/metrics")


class WithoutProbes(logging.Filter):
    """Keeps what orchestrators and Prometheus ask every few seconds out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        # uvicorn's arguments: client, method, path with query, HTTP version, status.
        return not (isinstance(record.args, tuple) and len(record.args) > 2 and record.args[2] in PROBES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 if serving failed, 2 if it could not be tried."""
    options = _parser().parse_args(arguments)
    if options.command == "settings":
        sys.stdout.write(env_example())
        return 0
    of_settings = vars(options).items() if options.command == "serve" else ()
    overrides = {name: value for name, value in of_settings if name != "command" and value is not None}
    try:
        settings = Settings(**overrides)
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        for name in unknown_variables({**dotenv_values(".env"), **os.environ}):
            logging.warning("%s is no setting of this service and has no effect", name)
        if options.command == "keys":
            return command.run(options, settings)
        return _models(settings) if options.command == "models" else _serve(settings)
    except ValidationError as error:
        for fault in error.errors():
            path = [str(part) for part in fault["loc"]]
            print(f"{setting_name(*path)}: {fault['msg']}", file=sys.stderr)
    except (registry.UnknownModel, registry.RegistryError, ValueError) as error:
        print(f"speechsum: {error}", file=sys.stderr)
    return MISUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="speechsum", description="Recorded speech in, a summary out.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run the service")
    serve.add_argument("--model", help="name, name@version or a folder (./NAME); the best measured one if left out")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="port to listen on")
    serve.add_argument(
        "--hub", action="store_true", default=None, help="fetch base parts from a model hub where one carries them"
    )
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    command.add_parser(commands)
    commands.add_parser("models", help="list the registry")
    commands.add_parser(
        "settings", help="print every setting with its sentence and default, as .env.example holds them"
    )
    return parser


def _models(settings: Settings) -> int:
    for manifest in registry.comparable(registry.list_models(settings.model_repo)):
        score = f"{manifest.figures.score:.3f}" if manifest.figures else "not measured"
        print(f"{manifest.id:32} {manifest.kind:10} score {score}  {manifest.description}")
    return 0


def _serve(settings: Settings) -> int:
    def ready() -> None:
        if not server.started:  # a fast engine; the socket is not bound yet
            asyncio.get_running_loop().call_later(0.05, ready)
            return
        (address, *_) = (sock.getsockname() for server_ in server.servers for sock in server_.sockets)
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        print(
            f"\nReady. Try it on a recording of someone talking:\n\n"
            f"  curl http://{host}:{address[1]}/v1/audio/summaries -F file=@recording.wav -F stream=true -N\n",
            flush=True,
        )

    def failed() -> None:
        server.should_exit = True

    app = create_app(settings, on_ready=ready, on_failure=failed)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        timeout_graceful_shutdown=round(settings.timeouts.shutdown_seconds),
    )
    if settings.log_level != "debug":
        logging.getLogger("uvicorn.access").addFilter(WithoutProbes())
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every look at a server otherwise
    server = uvicorn.Server(config)
    server.run()
    return 0 if app.state.service.failure is None else FAILED
