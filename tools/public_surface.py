"""Compare what users see of the project before and after a change: API, metrics, settings, commands, file formats.

    python tools/public_surface.py write AFTER.json
    python tools/public_surface.py compare tests/tools/surface-before.json.gz AFTER.json

`write` collects the public surface of this checkout (`tools.collect_surface`). `compare` prints every difference and
exits with 1 if something was removed or changed; additions are printed and are no failure. A file whose name ends in
`.gz` is compressed. Texts written for people (help, descriptions) are stored, and compared only with `--help-texts`.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BEFORE = ROOT / "tests" / "tools" / "surface-before.json.gz"
REMOVED, CHANGED, ADDED = "removed", "changed", "added"

TEXTS = {"description", "summary", "help"}  # if the value is a string; a field may have such a name too
NEVER_COMPARED = {"sample"}
# Lists that have to be equal. Of other lists of plain values the order does not count, and they may grow.
EXACT = {"buckets", "const", "default", "labels", "primary_key", "required", "takes"}
# Keywords that narrow what is accepted. To add one is a change, not an addition.
NARROWING = {"const", "enum", "format", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "not"}
NARROWING |= {"additionalProperties", "exclusiveMaximum", "exclusiveMinimum", "multipleOf", "pattern", "type"}
NARROWING |= {"required", "choices", "if", "then", "uniqueItems"}
# A deprecated option forwards its value to its successor; these may differ between the two.
LOOSE_IF_DEPRECATED = {"default", "required", "type", "const", "deprecated"}
_ABSENT = object()


class Difference(NamedTuple):
    """One difference. kind: removed, changed or added. path: the keys that lead to it, joined by " > "."""

    kind: str
    path: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        values = f": {_shorten(self.before)} → {_shorten(self.after)}" if self.kind == CHANGED else ""
        return f"{self.kind:8} {self.path}{values}"


def compare(before: Any, after: Any, *, help_texts: bool = False, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Yield every difference of two surfaces, or of two parts of them that lie at `path`."""
    name, key = " > ".join(path), path[-1] if path else ""
    if key in NEVER_COMPARED or (key in TEXTS and isinstance(before, str) and not help_texts):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        loose = LOOSE_IF_DEPRECATED if after.get("deprecated") is True and not before.get("deprecated") else set()
        for part in sorted({*before, *after} - loose):
            yield from _compare_part(part, before, after, help_texts, path)
    elif isinstance(before, list) and isinstance(after, list) and (key not in EXACT or _lists_sent_fields(path)):
        yield from _compare_lists(before, after, help_texts, path)
    elif before != after:
        yield Difference(CHANGED, name, before, after)


def _lists_sent_fields(path: tuple[str, ...]) -> bool:
    """Return whether the list at `path` names the fields that an answer always has. More of them break no caller."""
    return path[-1] == "required" and any(part.endswith("Response") for part in path)


def _compare_part(
    part: str, before: dict[str, Any], after: dict[str, Any], help_texts: bool, path: tuple[str, ...]
) -> Iterator[Difference]:
    old, new, name = before.get(part, _ABSENT), after.get(part, _ABSENT), " > ".join((*path, part))
    if old is not _ABSENT and new is not _ABSENT:
        yield from compare(old, new, help_texts=help_texts, path=(*path, part))
    elif part in NEVER_COMPARED or (part in TEXTS and isinstance(old if new is _ABSENT else new, str)):
        if help_texts and part in TEXTS:
            yield Difference(REMOVED if new is _ABSENT else ADDED, name)
    elif new is _ABSENT:
        yield Difference(REMOVED, name)
    elif isinstance(new, dict) and new.get("required") is True:
        yield Difference(CHANGED, name, "absent", "required")
    elif part in NARROWING and (not isinstance(new, dict) or part in ("not", "if", "then")):
        yield Difference(CHANGED, name, "absent", new)
    else:
        yield Difference(ADDED, name)


def _compare_lists(
    before: list[Any], after: list[Any], help_texts: bool, path: tuple[str, ...]
) -> Iterator[Difference]:
    """Parameters by their names, alternatives of equal number one by one, everything else by value."""
    if all(isinstance(one, dict) and "name" in one and "in" in one for one in before + after):
        named = [{f"{one['in']} {one['name']}": one for one in parameters} for parameters in (before, after)]
        yield from compare(*named, help_texts=help_texts, path=path)
    elif len(before) == len(after) and any(isinstance(one, dict) for one in before):
        for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
            yield from compare(old, new, help_texts=help_texts, path=(*path, str(number)))
    else:
        found = [{_as_key(one, help_texts): one for one in values} for values in (before, after)]
        yield from (Difference(REMOVED, " > ".join((*path, one))) for one in sorted(found[0].keys() - found[1].keys()))
        yield from (Difference(ADDED, " > ".join((*path, one))) for one in sorted(found[1].keys() - found[0].keys()))


def _as_key(value: Any, help_texts: bool) -> str:
    return value if isinstance(value, str) else json.dumps(value if help_texts else _without_texts(value))


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if not (key in TEXTS and isinstance(one, str))}
        return {key: _without_texts(one) for key, one in sorted(kept.items())}
    return [_without_texts(one) for one in value] if isinstance(value, list) else value


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"


def read(file: Path) -> Any:
    """Return the surface that the file holds."""
    data = file.read_bytes()
    return json.loads(gzip.decompress(data) if file.suffix == ".gz" else data)


def write(file: Path, surface: Any) -> None:
    """Write the surface into the file. Equal surfaces give equal files."""
    data = (json.dumps(surface, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    file.write_bytes(gzip.compress(data, mtime=0) if file.suffix == ".gz" else data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `write` or `compare` and return the exit status: 0, or 1 if something was removed or changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("write", help="collect the public surface of this checkout and write it to a file")
    command.add_argument("file", type=Path)
    command.add_argument(
        "--known", type=Path, default=BEFORE, help="earlier file, whose YAML keys are tried too if it exists"
    )
    command = commands.add_parser("compare", help="print the differences of two files")
    command.add_argument("before", type=Path)
    command.add_argument("after", type=Path)
    command.add_argument("--help-texts", action="store_true", help="compare texts written for people too")
    command.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="PATTERN",
        help="accept the removals and changes whose path matches, such as `cli > * > default`; may be repeated",
    )
    options = parser.parse_args(arguments)
    if options.command == "write":
        target = options.file.absolute()
        known = read(options.known) if options.known.exists() else {}
        sys.path.insert(0, str(ROOT))
        from tools.collect_surface import collect

        write(target, collect(ROOT, known))
        return 0
    differences = list(compare(read(options.before), read(options.after), help_texts=options.help_texts))
    failed = 0
    for difference in differences:
        accepted = difference.kind != ADDED and any(fnmatchcase(difference.path, one) for one in options.accept)
        failed += difference.kind != ADDED and not accepted
        print(f"accepted {difference}" if accepted else difference)
    print(f"{len(differences)} differences, of which {failed} are removals or changes that were not accepted.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
