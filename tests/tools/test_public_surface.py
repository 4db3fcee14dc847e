"""The script that compares the public surface finds what breaks a user, and this checkout breaks none."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.public_surface import ADDED, BEFORE, CHANGED, REMOVED, ROOT, compare, main, read, write

# Removals and changes that are meant, as patterns of their paths; a comment says why each of them breaks nobody.
ACCEPTED = [
    "*training.gpu.*",  # the scripts of an offline GPU run alone called these modules; they are tools.offline_gpu now
    # `--hub` and `--no-hub` mean what they meant. Without either, a hub that answers within seconds is tried first.
    "commands > * > options > --hub > *",
    "settings > SPEECHSUM_HUB > *",
    # What only answers have may become required: every answer has it.
    "openapi > components > schemas > CitedSentence > required",
]

OPTION = {"takes": 1, "type": "int", "default": 8, "required": False, "help": "records a batch"}
SURFACE = {
    "commands": {"train sft": {"options": {"--batch": OPTION, "--mode": {**OPTION, "choices": ["fast", "slow"]}}}},
    "metrics": {"speechsum_requests": {"type": "counter", "labels": ["outcome", "kind"], "help": "Requests."}},
    "openapi": {
        "parameters": [{"name": "limit", "in": "query"}, {"name": "id", "in": "path", "required": True}],
        "properties": {"description": {"type": "string", "description": "What it is."}},
    },
}


def differences(after: dict[str, Any], help_texts: bool = False) -> list[tuple[str, str]]:
    return [(one.kind, one.path) for one in compare(SURFACE, after, help_texts=help_texts)]


@pytest.fixture
def after() -> Any:
    """A copy of the surface, to be altered."""
    return copy.deepcopy(SURFACE)


def test_equal_surfaces_have_no_difference(after: Any) -> None:
    assert differences(after) == []


def test_a_removal_is_found(after: Any) -> None:
    del after["commands"]["train sft"]["options"]["--batch"]
    after["openapi"]["parameters"].pop(0)
    assert differences(after) == [
        (REMOVED, "commands > train sft > options > --batch"),
        (REMOVED, "openapi > parameters > query limit"),
    ]


def test_a_change_is_found(after: Any) -> None:
    after["commands"]["train sft"]["options"]["--batch"]["default"] = 4
    after["metrics"]["speechsum_requests"]["labels"].append("model")
    assert differences(after) == [
        (CHANGED, "commands > train sft > options > --batch > default"),
        (CHANGED, "metrics > speechsum_requests > labels"),
    ]


def test_additions_are_no_failure(after: Any) -> None:
    options = after["commands"]["train sft"]["options"]
    options["--new"] = OPTION
    options["--mode"]["choices"].insert(0, "exact")
    after["openapi"]["properties"]["type"] = {"type": "string"}
    assert differences(after) == [
        (ADDED, "commands > train sft > options > --mode > choices > exact"),
        (ADDED, "commands > train sft > options > --new"),
        (ADDED, "openapi > properties > type"),
    ]


def test_an_addition_that_refuses_what_was_accepted_is_a_change(after: Any) -> None:
    options = after["commands"]["train sft"]["options"]
    options["--new"] = {**OPTION, "required": True}
    options["--batch"]["choices"] = [8]
    after["openapi"]["properties"]["description"]["maxLength"] = 10
    assert differences(after) == [
        (CHANGED, "commands > train sft > options > --batch > choices"),
        (CHANGED, "commands > train sft > options > --new"),
        (CHANGED, "openapi > properties > description > maxLength"),
    ]


def test_an_answer_may_promise_more_fields_and_never_fewer() -> None:
    before = {"schemas": {"JobResponse": {"required": ["id", "state"]}, "JobRequest": {"required": ["id"]}}}
    more = {"schemas": {"JobResponse": {"required": ["id", "kind", "state"]}, "JobRequest": {"required": ["id", "x"]}}}
    fewer = {"schemas": {"JobResponse": {"required": ["id"]}, "JobRequest": {"required": ["id"]}}}
    assert [(one.kind, one.path) for one in compare(before, more)] == [
        (CHANGED, "schemas > JobRequest > required"),
        (ADDED, "schemas > JobResponse > required > kind"),
    ]
    assert [(one.kind, one.path) for one in compare(before, fewer)] == [
        (REMOVED, "schemas > JobResponse > required > state"),
    ]


def test_a_renamed_option_passes_while_the_old_one_is_a_deprecated_alias(after: Any) -> None:
    options = after["commands"]["train sft"]["options"]
    options["--batch-size"] = options["--batch"]
    options["--batch"] = {**OPTION, "default": None, "deprecated": True}
    assert differences(after) == [(ADDED, "commands > train sft > options > --batch-size")]
    options["--batch"]["takes"] = 0
    assert (CHANGED, "commands > train sft > options > --batch > takes") in differences(after)


def test_texts_are_compared_only_if_asked(after: Any) -> None:
    after["metrics"]["speechsum_requests"]["help"] = "All requests."
    after["openapi"]["properties"]["description"]["description"] = "What it is for."
    assert differences(after) == []
    assert [kind for kind, _ in differences(after, help_texts=True)] == [CHANGED, CHANGED]


def test_the_command_fails_for_removals_that_are_not_accepted(
    tmp_path: Path, after: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / "before.json.gz"), str(tmp_path / "after.json")]
    write(Path(files[0]), SURFACE)
    after["metrics"]["more"] = {}
    write(Path(files[1]), after)
    assert main(["compare", *files]) == 0
    assert "added    metrics > more" in capsys.readouterr().out
    del after["metrics"]["speechsum_requests"]
    write(Path(files[1]), after)
    assert main(["compare", *files]) == 1
    assert "removed  metrics > speechsum_requests" in capsys.readouterr().out
    assert main(["compare", *files, "--accept", "metrics > *"]) == 0


def test_the_stored_surface_has_every_part() -> None:
    stored = read(BEFORE)
    assert all(stored.values())
    assert {"jobs", "keys", "usage"} <= stored["tables"].keys()
    assert "rate" in stored["yaml"]["speechsum-train sft"]
    assert stored["errors"]["audio_too_long"] == ["413 invalid_request_error"]


@pytest.mark.slow  # imports all of the training pipeline and runs every command with --help: 15 s of CPU time
def test_this_checkout_still_has_the_surface_of_before(tmp_path: Path) -> None:
    file = tmp_path / "now.json"
    script = str(ROOT / "tools" / "public_surface.py")
    subprocess.run([sys.executable, script, "write", str(file)], check=True, cwd=ROOT, env=dict(os.environ))
    accepted = [word for pattern in ACCEPTED for word in ("--accept", pattern)]
    compared = subprocess.run(
        [sys.executable, script, "compare", str(BEFORE), str(file), *accepted], capture_output=True, text=True
    )
    broken = [line for line in compared.stdout.splitlines() if line.startswith((REMOVED, CHANGED))]
    assert not broken, "\n".join(broken)
    assert compared.returncode == 0, compared.stderr
    assert json.loads(file.read_text())["commands"].keys() >= {"speechsum serve", "speechsum-train sft"}
