"""The command line: `speechsum serve`, `speechsum keys`, `speechsum models`, `speechsum mcp`, `speechsum settings`.

Each command imports what it needs only when it runs, so that `speechsum --help` answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from app.core.help_format import show_defaults
from app.version import package_version

USAGE_ERROR, INTERRUPTED = 2, 130
EXIT_STATUSES = """\
exit status:
  0    the command succeeded, or a running service was stopped by SIGTERM
  1    the command failed: the model could not be loaded, or its engine died
  2    the command could not be tried: a wrong option or setting, an unknown
       model, a port that is taken
  130  the command was interrupted by Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, as `EXIT_STATUSES` lists them."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    options = _build_parser(argv[0] if argv else "").parse_args(argv)
    from pydantic import ValidationError

    from app.settings import Settings, env_example, setting_name
    from model_repo.registry import RegistryError, UnknownModel

    if options.command == "settings":
        sys.stdout.write(env_example())
        return 0
    setting_options = vars(options).items() if options.command == "serve" else ()
    overrides = {name: value for name, value in setting_options if name != "command" and value is not None}
    try:
        settings = Settings(**overrides)
        _start_logging(settings)
        return _run_command(options, settings)
    except ValidationError as error:
        for fault in error.errors():
            path = [str(part) for part in fault["loc"]]
            print(f"{setting_name(*path)}: {fault['msg']}", file=sys.stderr)
    except (UnknownModel, RegistryError, ValueError) as error:  # also ListenError and DatabaseUnusable
        print(f"speechsum: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    return USAGE_ERROR


def _run_command(options: argparse.Namespace, settings: Any) -> int:
    if options.command == "keys":
        from app.keys import cli as command

        return command.run(options, settings)
    if options.command == "mcp":
        from app.mcp import command as mcp

        return mcp.run(options.server, options.roots, options.http)
    if options.command == "models":
        return _list_models(settings)
    from app.serve import serve

    return serve(settings)


def _start_logging(settings: Any) -> None:
    import logging
    import os

    from dotenv import dotenv_values

    from app.settings import unknown_variables

    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in unknown_variables({**dotenv_values(".env"), **os.environ}):
        logging.warning("%s is not a setting of this service and has no effect.", name)


def _build_parser(command: str) -> argparse.ArgumentParser:
    """Return the parser. It has the options of `command` only, because their help comes from modules that are slow to
    import.
    """
    parser = argparse.ArgumentParser(
        prog="speechsum",
        description="Recorded speech in, a summary out.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"speechsum {package_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the service")
    if command == "serve":
        _add_serve_options(serve)
    if command == "keys":
        from app.keys import cli as keys

        keys.add_parser(commands)
    else:
        commands.add_parser("keys", help="create, list and revoke API keys")
    commands.add_parser(
        "models", help="list the models of the registry with their figures, and those that are downloaded from a hub"
    )
    if command == "mcp":
        from app.mcp import command as mcp

        mcp.add_parser(commands)
    else:
        commands.add_parser("mcp", help="offer a running service to assistants, by the Model Context Protocol")
    commands.add_parser("settings", help="print every setting with its description and default, as .env.example")
    show_defaults(parser)
    return parser


def _add_serve_options(serve: argparse.ArgumentParser) -> None:
    """Add the options of `serve`. Each is a setting, whose description and default are its help.

    The default is only shown. An option that is left out is read from the environment and `.env`.
    """
    from app.settings import Settings, setting_name

    def add(name: str, **more: Any) -> None:
        field = Settings.model_fields[name]
        default = "" if field.default in ("", None) else f"default: {field.default}; "
        text = f"{field.description} ({default}setting: {setting_name(name)})"
        option = f"--{name.replace('_', '-')}"
        serve.add_argument(option, default=None, help=text.replace("%", "%%").replace("`", ""), **more)

    add("model")
    add("host")
    add("port", type=int)
    add("hub", action=argparse.BooleanOptionalAction)
    add("log_level", choices=("debug", "info", "warning", "error"))


def _list_models(settings: Any) -> int:
    from model_repo import registry
    from model_repo.hub_models import HUB_MODELS, downloaded_folder

    for manifest in registry.comparable_manifests(registry.list_models(settings.model_repo)):
        score = f"{manifest.figures.score:.3f}" if manifest.figures else "not measured"
        print(f"{manifest.id:32} {manifest.kind:10} score {score}  {manifest.description}")
    print("\nFrom a model hub, downloaded at the first start (memory is that of the weights):")
    for model in HUB_MODELS.values():
        state = "downloaded" if downloaded_folder(model, settings.cache_dir) else "not downloaded"
        size = f"{model.download_gb:g} GB" if model.download_gb else "size unknown"
        memory = f"GPU {model.gpu_gb:.0f} GB, CPU {model.cpu_gb:.0f} GB" if model.gpu_gb else "memory unknown"
        print(f"{model.name:20} {state:15} {size:13} {memory:22} {model.license}  {model.repository}")
    return 0
