"""`speechsum serve`. Each of its options is a setting, whose description and default are its help."""

from typing import Annotated, Any, Literal

import typer

from app.cli.configuration import load_settings, start_logging
from app.cli.program import new_command_app
from app.settings import Settings, setting_name

app = new_command_app()


def _setting_option(name: str, declaration: str | None = None) -> Any:
    """Return the option of a setting. Its default is only shown: an option that is left out is read from the
    environment and `.env`.
    """
    field = Settings.model_fields[name]
    default = "" if field.default in ("", None) else f"default: {field.default}; "
    text = f"{field.description} ({default}setting: {setting_name(name)})"
    return typer.Option(declaration or f"--{name.replace('_', '-')}", help=text.replace("`", ""), show_default=False)


@app.command()
def serve(
    model: Annotated[str | None, _setting_option("model")] = None,
    host: Annotated[str | None, _setting_option("host")] = None,
    port: Annotated[int | None, _setting_option("port")] = None,
    hub: Annotated[bool | None, _setting_option("hub", "--hub/--no-hub")] = None,
    log_level: Annotated[Literal["debug", "info", "warning", "error"] | None, _setting_option("log_level")] = None,
) -> int:
    """Run the service: the HTTP API and the page for browsers. Ctrl-C stops it.

    Every other setting is an environment variable; `speechsum settings` lists them.
    """
    settings = load_settings(model=model, host=host, port=port, hub=hub, log_level=log_level)
    start_logging(settings)
    from app.serve import serve as serve_requests

    return serve_requests(settings)
