"""`speechsum doctor`."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.checks.finding import Finding
from app.cli.configuration import load_settings
from app.cli.errors import SettingsError
from app.cli.exit_statuses import FAILED
from app.cli.program import new_command_app

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}

app = new_command_app()


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list of the findings.")] = False,
) -> int:
    """Say what is wrong with this machine, and how to mend it.

    Each finding is `ok`, a `warning` (the service runs worse) or a `problem` (the service cannot run). The exit status
    is 1 if there is a problem.
    """
    found: list[Finding] = []
    for finding in find_faults():
        found.append(finding)
        if not as_json:
            _print_finding(finding)
    problems = sum(finding.level == "problem" for finding in found)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found]))
    elif problems:
        print(f"\n{problems} problem{'s' * (problems > 1)} must be mended before the service can run.")
    else:
        print("\nNothing stops the service. `speechsum serve` starts it.")
    return FAILED if problems else 0


def find_faults() -> Iterator[Finding]:
    """Yield what every check finds. Without valid settings, nothing else can be checked."""
    try:
        settings = load_settings()
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("settings", "problem", fault, "Correct the variable, or the line in `.env`.")
        return
    from app.cli.checks.machine import check_machine, read_machine
    from app.cli.checks.model import check_model, find_served_model
    from app.cli.checks.service import check_database_place, check_port, check_settings
    from model_repo.registry import RegistryError, UnknownModel

    yield from check_settings()
    try:
        model = find_served_model(settings)
    except (UnknownModel, RegistryError, ValueError) as error:
        model = None
        yield Finding("model", "problem", f"{error}.", "`speechsum models` lists the names for SPEECHSUM_MODEL.")
    runs_here = model is None or model.runs_here
    needed_gb = model.memory_gb if model else None
    yield from check_machine(read_machine(), needed_gb, model=model.name if model else "", runs_here=runs_here)
    if model is not None:
        yield from check_model(model, settings)
    yield check_port(settings)
    yield check_database_place(settings)


def _print_finding(finding: Finding) -> None:
    mark = typer.style(f"{finding.level:8}", fg=COLOURS[finding.level])
    typer.echo(f"{mark} {finding.check:9} {finding.message}")
    if finding.remedy:
        typer.echo(f"{'':18} {finding.remedy}")
