"""Print where a checkpoint comes from: the chain of its parents as a tree, each with its scores, its stages and their
data.

    speechsum-train lineage speechsum-tiny

Everything is read from the manifests of the registry. The tree says if a parent is not in the registry, or if its
weights are not those that the child was trained from. Knows nothing about weights.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_repo.manifest import Figures, Manifest
from model_repo.registry import REGISTRY_ROOT, UnknownModel, resolve_model
from training.eval import report

DIGEST_CHARS = 10
MAX_FILES_SHOWN = 4  # of the files of one stage


def lineage_lines(root: Path, model: str) -> Iterator[str]:
    """Yield the lines of the tree, from the model to its oldest parent. Raises UnknownModel if the registry does not
    have the model itself.
    """
    manifest: Manifest | None = resolve_model(root, model)
    depth, seen, note = 0, set[str](), ""
    while manifest:
        seen.add(manifest.id)
        parent = manifest.parent
        what = f"{manifest.kind}, {manifest.stage}, weights {manifest.digest[:DIGEST_CHARS]}{note}"
        yield f"{_branch(depth)}{manifest.id}  {what}"
        bar = "   " * depth + ("│  " if parent else "   ")
        for line in manifest_lines(manifest):
            yield bar + line
        if parent is None:
            return
        depth += 1
        if parent in seen:
            yield f"{_branch(depth)}{parent}  (again: the manifests name each other)"
            return
        meant = manifest.parent_sha256
        try:
            manifest = resolve_model(root, parent)
        except UnknownModel:
            weights = f", weights {meant[:DIGEST_CHARS]}" if meant else ""
            yield f"{_branch(depth)}{parent}  (not in the registry){weights}"
            return
        note = (
            f"  (not the weights it was trained from: {meant[:DIGEST_CHARS]})"
            if meant not in (None, manifest.digest)
            else ""
        )


def _branch(depth: int) -> str:
    return "   " * (depth - 1) + "└─ " if depth else ""


def manifest_lines(manifest: Manifest) -> Iterator[str]:
    """Yield a line of scores, then a line for each stage. A manifest from before stages were recorded has its data and
    its commands instead.
    """
    yield figures_line(manifest.figures)
    training = manifest.training
    for run in training.get("runs", []):
        yield stage_line(run)
    if training.get("data"):
        yield "data " + _digests(training["data"])
    for command in training.get("commands", []):
        yield str(command)


def figures_line(figures: Figures | None) -> str:
    """Return the scores that the tables show, and the file of the raw result; "not measured" if there are none."""
    if figures is None:
        return "not measured"
    known = figures.model_dump()
    parts = [
        f"{heading} {report.format_cell(known, name, form)}" for name, heading, form in report.COLUMNS if name in known
    ]
    parts = parts or [f"score {figures.score:.1%}"]
    over = f" over {known['recordings']} recordings" if "recordings" in known else ""
    return f"{'; '.join(parts)}{over}: {figures.result}"


def stage_line(run: dict[str, Any]) -> str:
    """Return the line of one stage: its data, base, teacher, starting adapters, writer, judge, seed and commit."""
    parts = [f"data {_digests(run['data'])}"] if run.get("data") else []
    for name in ("base", "teacher"):
        if of := run.get(name):
            parts.append(f"{name} {of['name']} {of.get('sha256', '')[:DIGEST_CHARS]}".rstrip())
    if run.get("start"):
        parts.append(f"begun from {_digests(run['start'])}")
    parts += [f"{name} {run[name]}" for name in ("writer", "judge", "seed") if run.get(name) is not None]
    if run.get("commit"):
        parts.append(f"commit {run['commit'][:DIGEST_CHARS]}")
    return f"{run['stage']}: {'; '.join(parts)}"


def _digests(files: dict[str, str]) -> str:
    """Return the first few names with their digests, and the number of the others."""
    shown = [f"{name} {sha[:DIGEST_CHARS]}" for name, sha in list(files.items())[:MAX_FILES_SHOWN]]
    more = len(files) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lineage`."""
    parser.add_argument("model", help="NAME for its newest version, or NAME@VERSION")
    parser.add_argument("--root", type=Path, default=REGISTRY_ROOT, help="registry folder")


def run(options: argparse.Namespace) -> int:
    """Run `lineage`: print the tree."""
    for line in lineage_lines(options.root, options.model):
        print(line)
    return 0
