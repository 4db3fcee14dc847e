"""Checks two rules of the house style that no linter knows: functions are not named by a bare participle, and every
public module, class, function and method has a docstring.

    python tools/check_names.py [FOLDER …]

Prints one line for each violation and exits with status 1 if there is any. Knows nothing about what a docstring says.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDERS = ("app", "training", "model_repo", "tools", "benchmarks", "clients")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Past participles that do not end in -ed. Words that are a verb's base form as well (cut, put, read, run, set, split)
# are not participles here.
IRREGULAR = _words("""
    begun bent bitten blown born bought bound broken brought built caught chosen done drawn driven eaten fallen fed felt
    flown forbidden forgotten forgiven found frozen given gone gotten grown heard held hidden hung kept known laid led
    left lent lost made meant met paid proven ridden risen said sat seen sent sewn shaken shown shrunk slept sold
    spent spoken spun stolen stood struck sung sunk sworn swept taken taught thought thrown told torn understood
    woken won worn wound woven written
""")
# Words that end like a participle and are none.
NOT_PARTICIPLES = _words("""
    embed embedding exceed heading mapping meeting padding proceed recording setting speed string thing warning
""")
# What may follow a participle without making the name say what comes back (`taken_up`, `asked_for`).
PARTICLES = _words("again at away by down for from in into now of off on once out over so to up with")

# Methods that a library prescribes to its subclasses and documents.
LIBRARY_METHODS = (
    _words("on_init_end on_log on_step_begin on_step_end on_train_begin on_train_end on_save compute_loss")  # Trainer
    | _words("read readable readinto seek seekable tell write")  # io.RawIOBase
    | _words("forward")  # torch.nn.Module
    | _words("find_spec")  # importlib.abc.MetaPathFinder
    | _words("pause_writing resume_writing connection_made connection_lost data_received eof_received")  # asyncio
    | _words("on_message_begin on_url on_header on_headers_complete on_body on_message_complete")  # httptools
    | _words("on_response_complete send_400_response")  # uvicorn
)
# "path:name" of a function that may keep its name, and why.
NAME_EXCEPTIONS: dict[str, str] = {}
# "path:qualified name" of a public definition that needs no docstring, and why.
DOCSTRING_EXCEPTIONS: dict[str, str] = {}
# Files whose text others prescribe.
GENERATED = re.compile(r"app/database/migrations/")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


def is_bare_participle(name: str) -> bool:
    """Return whether a function's name is a participle and nothing else that says what the function does or returns."""
    first, *rest = name.strip("_").split("_")
    ends_like_one = first.endswith(("ed", "ing")) and len(first) > 4
    is_participle = first in IRREGULAR or (ends_like_one and first not in NOT_PARTICIPLES)
    return is_participle and all(word in PARTICLES for word in rest)


def participle_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of every function, nested ones and methods too, that is named by a bare participle."""
    for node in ast.walk(tree):
        if isinstance(node, Function) and not node.name.startswith("__") and is_bare_participle(node.name):
            yield node.lineno, node.name


class DocstringChecker:
    """Finds public definitions without a docstring. Knows every class of the repository, because a method that
    overrides a documented one has that one's docstring, as `inspect.getdoc` finds it.
    """

    def __init__(self, trees: Iterable[ast.Module]) -> None:
        self._classes: dict[str, list[ast.ClassDef]] = {}
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.ClassDef):
                self._classes.setdefault(node.name, []).append(node)

    def undocumented_definitions(self, tree: ast.Module) -> Iterator[tuple[int, str]]:
        """Yield line and qualified name of what is public and has no docstring; the module itself is `module`."""
        if tree.body and not ast.get_docstring(tree):
            yield 1, "module"
        yield from self._undocumented_below(tree, "")

    def _undocumented_below(self, parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[int, str]]:
        for node in parent.body:
            if not isinstance(node, Definition) or node.name.startswith("_"):
                continue
            name = prefix + node.name
            inherits = isinstance(parent, ast.ClassDef) and self._is_documented_in_a_base(parent, node.name)
            if not ast.get_docstring(node) and not inherits and not _shares_docstring(node):
                yield node.lineno, name
            if isinstance(node, ast.ClassDef):
                yield from self._undocumented_below(node, f"{name}.")

    def _is_documented_in_a_base(self, child: ast.ClassDef, method: str) -> bool:
        if child.bases and method in LIBRARY_METHODS:
            return True
        for base in child.bases:
            base = base.value if isinstance(base, ast.Subscript) else base
            for parent in self._classes.get(getattr(base, "attr", getattr(base, "id", "")), []):
                if parent is child:
                    continue
                own = [node for node in parent.body if isinstance(node, Function) and node.name == method]
                if any(map(ast.get_docstring, own)) or self._is_documented_in_a_base(parent, method):
                    return True
        return False


def _shares_docstring(node: Definition) -> bool:
    """Return whether it is an overload, or a setter or deleter, which have the docstring of their property."""
    for decorator in node.decorator_list:
        name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        if name in ("overload", "setter", "deleter"):
            return True
    return False


def violations(root: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """Yield one line for each violation in the Python files below the folders, then one for each unused exception."""
    used = set()
    files = sorted(file for folder in {*FOLDERS, *folders} for file in (root / folder).rglob("*.py"))
    trees = {file.relative_to(root).as_posix(): ast.parse(file.read_text(), str(file)) for file in files}
    docstrings = DocstringChecker(trees.values())
    for path, tree in trees.items():
        if GENERATED.match(path) or not path.startswith(tuple(f"{folder}/" for folder in folders)):
            continue
        for kind, found, exceptions in (
            ("a function is named by a bare participle", participle_names(tree), NAME_EXCEPTIONS),
            ("a public docstring is missing", docstrings.undocumented_definitions(tree), DOCSTRING_EXCEPTIONS),
        ):
            for line, name in found:
                if f"{path}:{name}" in exceptions:
                    used.add(f"{path}:{name}")
                else:
                    yield f"{path}:{line}: {kind}: {name}"
    if folders == FOLDERS:
        for name in sorted((NAME_EXCEPTIONS.keys() | DOCSTRING_EXCEPTIONS.keys()) - used):
            yield f"tools/check_names.py: the exception is not needed: {name}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status, which is 1 if there are violations."""
    parser = argparse.ArgumentParser(description="Check the names of functions and the presence of docstrings.")
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help=f"default: {' '.join(FOLDERS)}")
    folders = tuple(parser.parse_args(arguments).folders) or FOLDERS
    found = list(violations(Path(__file__).resolve().parent.parent, folders))
    print("\n".join(found), end="\n" if found else "")
    if found:
        print(f"{len(found)} violations", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
