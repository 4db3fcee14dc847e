"""The package: what it needs and holds, and that it knows everything in the service's OpenAPI document."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import speechsum_client
from pydantic import BaseModel
from speechsum_client import answer_parts, answers, cards, errors
from speechsum_client.fields import QuestionFields, SummaryFields, TemplateFields, json_schema

from app.core.errors import ServiceError
from app.engine.scripted import ScriptedEngine
from app.main import create_app
from tests.app.running_service import MODEL, WaveDecoder, settings_for
from tools import source_names

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "clients" / "python"
MODULES = sorted((FOLDER / "speechsum_client").glob("*.py"))
# In a client's words, where they are not the document's.
NAMES = {"ModelCard": "Model", "ModelList": "ModelPage", "SummaryResponse": "Summary"}
NAMES |= {"JobResponse": "JobInfo", "JobList": "JobPage", "RecordingResponse": "RecordingInfo"}
NAMES |= {"TemplateCard": "Template"}
# Fields of OpenAI's API that this service never fills in.
UNUSED = {
    "ChatCompletion": {"system_fingerprint"},
    "ChatChoice": {"logprobs"},
    "ChatMessage": {"refusal", "annotations"},
}

USE = """
from pydantic import BaseModel
from speechsum_client import AsyncClient, Client

class Voicemail(BaseModel):
    caller: str

async def main() -> None:
    client, other = Client(), AsyncClient()
    reveal_type(client.summarize("a.wav", style="tldr"))
    reveal_type(client.summarize("a.wav", json_schema=Voicemail).data)
    reveal_type((await other.summarize("a.wav", json_schema=Voicemail)).data)
    reveal_type(client.create_job(b"").wait())
    client.summarize("a.wav", style="haiku")
    client.summarize("a.wav", stlye="tldr")
"""


def imported_packages(module: Path) -> set[str]:
    """The packages that a module imports, except those that only a type checker reads."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body.clear()
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_only_httpx_and_pydantic_are_needed() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    assert [one.split(">")[0] for one in project["dependencies"]] == ["httpx", "pydantic"]
    found = set[str]().union(*(imported_packages(module) for module in MODULES))
    assert found - sys.stdlib_module_names == {"httpx", "pydantic", "speechsum_client"}


def test_the_wheel_holds_the_types(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=FOLDER, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"speechsum_client-{speechsum_client.__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert "speechsum_client/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "speechsum_client", f"speechsum_client-{speechsum_client.__version__}.dist-info",
    }  # fmt: skip


@pytest.mark.slow
def test_a_type_checker_knows_what_comes_back(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USE)
    check = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir", str(tmp_path)]
    environment = {**os.environ, "MYPYPATH": str(FOLDER)}
    done = subprocess.run([*check, str(program)], env=environment, capture_output=True, text=True, timeout=300)
    lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith(str(program))]
    assert [line.split("type is ")[1].strip('"') for line in lines if "Revealed" in line] == [
        "speechsum_client.answers.Summary",
        "program.Voicemail | None",
        "program.Voicemail | None",
        "speechsum_client.answers.Summary",
    ]
    wrong = {number for number, line in enumerate(USE.splitlines(), 1) if "haiku" in line or "stlye" in line}
    faults = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert {int(line.removeprefix(f"{program}:").split(":")[0]) for line in faults} == wrong


def test_what_is_exported_is_there() -> None:
    for name in speechsum_client.__all__:
        assert hasattr(speechsum_client, name)
    defined = (one for one in vars(errors).values() if getattr(one, "__module__", "") == errors.__name__)
    raised = {one.__name__ for one in defined if isinstance(one, type)}
    assert len(raised) > 18
    assert raised <= set(speechsum_client.__all__)
    drawn = errors.__doc__ or ""
    assert [name for name in raised if name not in drawn] == []


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The service's OpenAPI document."""
    found: dict[str, Any] = create_app(settings_for(), ScriptedEngine(), MODEL, WaveDecoder()).openapi()
    return found


def schemas(document: dict[str, Any]) -> dict[str, Any]:
    """The document's schemas by name."""
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def test_every_field_of_every_answer_has_a_type(document: dict[str, Any]) -> None:
    names = {mine: theirs for theirs, mine in NAMES.items()}
    checked = 0
    for module in (answer_parts, answers, cards):
        for name, kind in vars(module).items():
            if not (isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.__name__):
                continue
            if name in ("AnswerModel", "ParsedSummary"):
                continue
            theirs = schemas(document)[names.get(name, name)]["properties"].keys() - UNUSED.get(name, set())
            assert theirs == kind.model_fields.keys(), name
            checked += 1
    assert checked > 18


def test_every_field_of_a_request_has_a_type(document: dict[str, Any]) -> None:
    form = schemas(document)["SummaryForm"]["properties"].keys()
    arguments = {"file", "url", "recording_id", "stream", "json_schema"}  # in words of the methods
    assert form - arguments == SummaryFields.__annotations__.keys()
    job = schemas(document)["SummaryJobForm"]["properties"].keys()
    assert job - form <= {"webhook_url"}
    assert QuestionFields.__annotations__.keys() <= schemas(document)["ChatRequest"]["properties"].keys()
    template = schemas(document)["TemplateContent"]["properties"].keys()
    assert template - {"description", "instruction", "json_schema"} == TemplateFields.__annotations__.keys()


def test_an_error_in_a_stream_has_the_class_of_its_status() -> None:
    # The event of an error has no status; the code tells what it would have been.
    codes = source_names.error_codes(ROOT / "app", ServiceError)
    for code, kind in errors.STREAM_CODES.items():
        if kind is not errors.ServiceError:
            assert set(kind.statuses) <= {int(one.split()[0]) for one in codes[code]}, code


def test_the_objects_of_a_class_are_closed() -> None:
    class Part(BaseModel):
        properties: int = 1

    class Open(BaseModel, extra="allow"):
        name: str

    class Whole(BaseModel):
        parts: list[Part]
        other: Open | None
        by_name: dict[str, Part]

    schema = json_schema(Whole)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Part"]["additionalProperties"] is False
    assert schema["$defs"]["Part"]["properties"]["properties"]["type"] == "integer"
    assert schema["$defs"]["Open"]["additionalProperties"] is True
    assert schema["properties"]["by_name"]["additionalProperties"] == {"$ref": "#/$defs/Part"}
