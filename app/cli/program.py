"""The program `speechsum`: which commands there are, where each is written, and how it ends.

A command's module is imported only when the command runs or its options are completed, so that `speechsum --help`
answers at once.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from app.cli.exit_statuses import EXIT_STATUSES
from app.version import package_version

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class LazyCommand(NamedTuple):
    """A command. module: has the command as `app`, a Typer application. help: one line of `speechsum --help`."""

    module: str
    help: str


COMMANDS = {
    "serve": LazyCommand("app.cli.serve", "Run the service: the HTTP API and the page for browsers."),
    "summarize": LazyCommand("app.cli.summarize", "Summarize recordings."),
    "ask": LazyCommand("app.cli.ask", "Answer a question about a recording."),
    "jobs": LazyCommand("app.cli.jobs", "Queue recordings on a service, and look after them."),
    "batch": LazyCommand("app.cli.batch", "Summarize an archive of recordings, on one machine or many."),
    "mcp": LazyCommand("app.cli.mcp", "Offer a running service to assistants, by the Model Context Protocol."),
    "models": LazyCommand("app.cli.models", "List, download and verify models."),
    "keys": LazyCommand("app.cli.keys", "Create, list and revoke API keys and the secrets of their webhooks."),
    "database": LazyCommand(
        "app.cli.database", "Back up, restore and downgrade the database of jobs, keys and templates."
    ),
    "settings": LazyCommand(
        "app.cli.settings", "Print every setting with its description and default, as .env.example."
    ),
    "doctor": LazyCommand("app.cli.doctor", "Say what is wrong with this machine, and how to mend it."),
}


class LazyGroup(TyperGroup):
    """A group of `COMMANDS`, each of which is imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(COMMANDS[cmd_name].module).app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the exit statuses under the help."""
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), text) for status, text in EXIT_STATUSES.items()])


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"speechsum {package_version()}")
        raise typer.Exit


program = typer.Typer(
    cls=LazyGroup, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP_OPTIONS
)


@program.callback(invoke_without_command=False)
def _describe_program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Recorded speech in, a summary out.

    `speechsum summarize recording.wav` is enough to begin. `speechsum serve` runs the service, with a page for browsers
    at http://127.0.0.1:8000/, and then summaries begin at once. `speechsum COMMAND --help` lists the options of a
    command.
    """


def new_command_app(help: str | None = None, **more: Any) -> typer.Typer:
    """Return the Typer application of one command, with the look of all others. help: of a command with subcommands."""
    return typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP_OPTIONS,
        **more,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, as `EXIT_STATUSES` lists them."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(program)
    try:
        return int(command.main(args=argv, prog_name="speechsum", standalone_mode=False) or 0)
    except Exception as error:
        from app.cli.errors import report_error

        return report_error(error)
