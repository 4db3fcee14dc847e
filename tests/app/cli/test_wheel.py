"""A wheel of the project is all that its commands need: it holds the client, and states what the client requires."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def requirements(project: Path) -> dict[str, str]:
    """The lowest version of each requirement of a project, by name without extras."""
    listed = tomllib.loads(project.read_text())["project"]["dependencies"]
    parts = (re.match(r"([a-z0-9-]+)(?:\[[a-z,]+\])?>=([0-9.]+)", one) for one in listed)
    return {part[1]: part[2] for part in parts if part}


def test_the_wheel_holds_the_client_and_the_commands(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        entries = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    client = {f"speechsum_client/{file.name}" for file in (ROOT / "clients/python/speechsum_client").glob("*.py")}
    assert client <= set(names)
    assert "app/cli/checks/machine.py" in names
    assert "[vllm.endpoint_plugins]\nspeechsum = app.vllm_plugin.plugin:SummaryPlugin" in entries
    assert "speechsum-client" not in metadata, "no index has it"
    assert {"httpx", "pydantic", "rich", "typer"} <= {
        re.split(r"[>=\[; ]", line.split(": ")[1])[0] for line in metadata.splitlines() if "Requires-Dist" in line
    }


def test_what_the_client_requires_is_required_by_the_project() -> None:
    own, clients = requirements(ROOT / "pyproject.toml"), requirements(ROOT / "clients/python/pyproject.toml")
    assert clients.keys() <= own.keys()
    for name, lowest in clients.items():
        assert [int(part) for part in own[name].split(".")] >= [int(part) for part in lowest.split(".")], name
