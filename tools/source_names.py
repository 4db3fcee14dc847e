"""Names that callers meet and that only the source of the service tells: error codes, event names, headers."""

import ast
import re
from pathlib import Path
from typing import Any

CODE = re.compile(r"[a-z]+(_[a-z]+)+")
EVENT = re.compile(r"(admin|audio|chat)(\.[a-z{}]+)+")
HEADER = re.compile(r"(retry|webhook|www|x)(-[a-z]+)+")


def strings(package: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return every whole string of the source that the pattern matches; what is filled in stands as `{}`."""
    found = set()
    for node in _nodes(package):
        if isinstance(node, ast.JoinedStr):
            found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant):
            found.add(str(node.value))
    return sorted(one for one in found if pattern.fullmatch(one))


def error_codes(package: Path, base: Any) -> dict[str, list[str]]:
    """Return each error code with the statuses and types that it is answered with, as far as they stand where the code
    stands: as `code=`, as the argument of a function's parameter `code`, under "code" in a dictionary.

    base: the class of all errors, which have a `status` and a `type`.
    """
    nodes = _nodes(package)
    kinds = [base]
    for kind in kinds:  # grows while it is read
        kinds += kind.__subclasses__()
    answers = {kind.__name__: f"{kind.status} {kind.type}" for kind in kinds}
    places: dict[str, set[int]] = {}  # function → places of `code` among the arguments, in all functions of that name
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in node.args.args if one.arg != "self"]
            places.setdefault(node.name, set()).update([names.index("code")] if "code" in names else [])
    codes: dict[str, set[str]] = {}
    for node in nodes:
        values, errors = _code_values(node, places)
        for constant in (getattr(one, "value", None) for value in values for one in ast.walk(value)):
            if isinstance(constant, str) and CODE.fullmatch(constant):
                codes.setdefault(constant, set()).update(answers[name] for name in errors if name in answers)
    return {code: sorted(answered) for code, answered in codes.items()}


def _code_values(node: ast.AST, places: dict[str, set[int]]) -> tuple[list[ast.expr], list[str]]:
    """What the node gives for a code, and the names among which the error's class may be."""
    if isinstance(node, ast.Call):
        function = getattr(node.func, "attr", getattr(node.func, "id", ""))
        values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        values += [one for place, one in enumerate(node.args) if place in places.get(function, ())]
        return values, [function, *(getattr(one, "id", "") for one in node.args)]
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
        return [node.value], []
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [value for key, value in pairs if getattr(key, "value", None) == "code"], []
    return [], []


def _nodes(package: Path) -> list[ast.AST]:
    return [node for file in sorted(package.rglob("*.py")) for node in ast.walk(ast.parse(file.read_text()))]
