"""`speechsum models`: the commands `list`, `pull` and `verify`. Without one of them the models are listed."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.configuration import load_settings, start_logging
from app.cli.errors import CommandError
from app.cli.exit_statuses import FAILED, USAGE_ERROR
from app.cli.program import new_command_app

if TYPE_CHECKING:
    from model_repo.hub_models import HubModel
    from model_repo.manifest import Manifest

app = new_command_app(
    "List the models of the registry with their figures, and those of a hub; download and verify them."
)
Names = Annotated[
    list[str],
    typer.Argument(metavar="MODEL...", help="Names as `speechsum models` lists them: `name` or `name@version`."),
]


@app.callback(invoke_without_command=True)
def _list_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list_models(as_json=False)


@app.command("list", short_help="List the models.")
def list_(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list with the facts about every model.")
    ] = False,
) -> None:
    """List the models of the registry with their figures, and those that are downloaded from a hub."""
    _list_models(as_json)


@app.command(short_help="Download models and make them ready.")
def pull(
    models: Names,
    hub: Annotated[
        bool | None,
        typer.Option(
            "--hub/--no-hub", help="Demand a model hub, or never ask it; without either, ask it if it answers."
        ),
    ] = None,
) -> None:
    """Download models and make them ready to start, and print their folders."""
    settings = load_settings(hub=hub)
    start_logging(settings)
    from model_repo.assemble import assemble_checkpoint
    from model_repo.hub_download import HubDownloadError, fetch_hub_model
    from model_repo.hub_models import HubModel

    for model in _find_models(settings, models):
        if isinstance(model, HubModel):
            try:
                print(fetch_hub_model(model, settings.cache_dir), flush=True)
            except HubDownloadError as error:
                raise CommandError(str(error)) from error
        else:
            print(assemble_checkpoint(model, cache=settings.cache_dir, from_hub=settings.hub), flush=True)


@app.command(short_help="Compare files with their digests.")
def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]", help="Names as `speechsum models` lists them; without any, all that are here."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> int:
    """Compare the files of models with their digests. The exit status is 1 if a model is damaged, or if one that is
    named is not complete.
    """
    settings = load_settings()
    start_logging(settings)
    from model_repo.hub_models import HubModel
    from model_repo.verify import verify_hub_model, verify_registry_model

    found = []
    for model in _find_models(settings, models or _all_names(settings)):
        is_on_hub = isinstance(model, HubModel)
        check: Callable[[Any, Path], Any] = verify_hub_model if is_on_hub else verify_registry_model
        one = check(model, settings.cache_dir)
        if models or one.state != "absent":
            found.append(one)
            if not as_json:
                print(f"{one.model:32} {one.state}", flush=True)
                print("".join(f"  {fault}\n" for fault in one.faults), end="", file=sys.stderr)
    if as_json:
        print(json.dumps([{"model": one.model, "state": one.state, "faults": one.faults} for one in found]))
    if not found:
        print("No model is downloaded yet.", file=sys.stderr)
    good = {"intact"} if models else {"intact", "incomplete"}
    bad = [one.model for one in found if one.state not in good]
    if bad:
        print(
            f"Delete damaged files; then `speechsum models pull {' '.join(bad)}` makes the models whole again.",
            file=sys.stderr,
        )
    return FAILED if bad else 0


def _find_models(settings: Any, names: Sequence[str]) -> "list[Manifest | HubModel]":
    """Return the models for names. Raises CommandError for a name that neither the registry nor the hub's list has."""
    from model_repo import registry
    from model_repo.hub_models import HUB_MODELS, find_hub_model

    found: list[Manifest | HubModel] = []
    for name in names:
        try:
            found.append(registry.resolve_model(settings.model_repo, name))
        except registry.UnknownModel as error:
            if (hub_model := find_hub_model(name)) is None:
                raise CommandError(f"{error}; from a model hub: {', '.join(HUB_MODELS)}", USAGE_ERROR) from None
            found.append(hub_model)
    return found


def _all_names(settings: Any) -> list[str]:
    from model_repo import registry
    from model_repo.hub_models import HUB_MODELS

    return [*(manifest.id for manifest in registry.list_models(settings.model_repo)), *HUB_MODELS]


def _list_models(as_json: bool) -> None:
    settings = load_settings()
    start_logging(settings)
    from model_repo import registry
    from model_repo.hub_models import HUB_MODELS, downloaded_folder

    manifests = registry.comparable_manifests(registry.list_models(settings.model_repo))
    if as_json:
        print(json.dumps([*map(_registry_facts, manifests), *(_hub_facts(m, settings) for m in HUB_MODELS.values())]))
        return
    for manifest in manifests:
        score = f"{manifest.figures.score:.3f}" if manifest.figures else "not measured"
        print(f"{manifest.id:32} {manifest.kind:10} score {score}  {manifest.description}")
    print("\nFrom a model hub, downloaded at the first start (memory is that of the weights):")
    for model in HUB_MODELS.values():
        state = "downloaded" if downloaded_folder(model, settings.cache_dir) else "not downloaded"
        size = f"{model.download_gb:g} GB" if model.download_gb else "size unknown"
        memory = f"GPU {model.gpu_gb:.0f} GB, CPU {model.cpu_gb:.0f} GB" if model.gpu_gb else "memory unknown"
        print(f"{model.name:20} {state:15} {size:13} {memory:22} {model.license}  {model.repository}")


def _registry_facts(manifest: "Manifest") -> dict[str, Any]:
    return {
        "id": manifest.id,
        "from": "registry",
        "kind": manifest.kind,
        "score": manifest.figures.score if manifest.figures else None,
        "languages": manifest.languages,
        "license": manifest.license,
        "description": manifest.description,
    }


def _hub_facts(model: "HubModel", settings: Any) -> dict[str, Any]:
    from model_repo.hub_models import downloaded_folder

    return {
        "id": model.name,
        "from": "hub",
        "repository": model.repository,
        "downloaded": downloaded_folder(model, settings.cache_dir) is not None,
        "download_gb": model.download_gb,
        "gpu_gb": model.gpu_gb,
        "cpu_gb": model.cpu_gb,
        "license": model.license,
    }
