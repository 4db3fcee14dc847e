"""`speechsum mcp`. What it does is in `app.mcp`."""

from typing import Annotated

import typer

from app.cli.program import new_command_app
from app.mcp.command import LOOPBACK, run
from app.service_address import DEFAULT_URL
from app.settings import API_KEY_VARIABLE, URL_VARIABLE

app = new_command_app()


@app.command(
    help="Offer a running service to assistants, by the Model Context Protocol: on standard input and output, or over "
    f"HTTP on this machine. The API key, if the service wants one, is read from {API_KEY_VARIABLE}."
)
def mcp(
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            envvar=URL_VARIABLE,
            help=f"Address of the service; {DEFAULT_URL} if none is named.",
        ),
    ] = None,
    roots: Annotated[
        list[str] | None,
        typer.Option(
            "--root",
            metavar="FOLDER",
            help="Folder from which recordings may be read; may be given several times. Without it no file is read.",
        ),
    ] = None,
    http: Annotated[
        int | None,
        typer.Option("--http", metavar="PORT", help=f"Speak streamable HTTP on this port of {LOOPBACK}, at /mcp."),
    ] = None,
) -> int:
    """Offer a running service to assistants."""
    return run(server, roots or (), http)
