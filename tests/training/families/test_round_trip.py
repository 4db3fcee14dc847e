"""Every family there is goes from training through export into vLLM, and writes there what Transformers writes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.families.round_trip import Trip
from tests.training.families.tiny_families import BUILDERS
from training.families import FAMILIES

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

STAND_IN = Path(__file__).parent / "stand_in"


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trip]:
    folder = tmp_path_factory.mktemp("trips")
    real = all(map(importlib.util.find_spec, ("torchaudio", "torchvision")))
    paths = [os.getcwd()] if real else [os.getcwd(), str(STAND_IN)]
    command = [sys.executable, "-m", "tests.training.families.round_trip", str(folder), *BUILDERS]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    made = {name: json.loads((folder / f"{name}.json").read_text()) for name in BUILDERS}
    return {name: Trip(**found) if "error" not in found else found["error"] for name, found in made.items()}


def made(trips: dict[str, Trip], name: str) -> Trip:
    found = trips[name]
    assert isinstance(found, Trip), found
    return found


def test_every_family_that_hears_makes_the_trip() -> None:
    heard = {name for name, family in FAMILIES.items() if family.takes_audio}
    assert heard == {*BUILDERS, "audioflamingo3"}, "the default shape's trip is tests/app/engine/test_vllm.py"


@pytest.mark.parametrize("name", BUILDERS)
def test_what_vllm_writes_is_what_transformers_writes(name: str, trips: dict[str, Trip]) -> None:
    found = made(trips, name)
    for (here, likely), (there, as_likely) in zip(found.after, found.served, strict=True):
        assert there == here
        assert as_likely == pytest.approx(likely, abs=2e-3)


@pytest.mark.parametrize("name", [name for name in BUILDERS if not FAMILIES[name].weight_sync_refusal])
def test_a_server_that_is_handed_a_students_weights_writes_what_the_student_would(
    name: str, trips: dict[str, Trip]
) -> None:
    found = made(trips, name)
    for (here, likely), (there, as_likely) in zip(found.before, found.reloaded, strict=True):
        assert there == here
        assert as_likely == pytest.approx(likely, abs=2e-3)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_form_of_the_question_gives_a_server_the_prompt_that_is_trained_on(name: str, trips: dict[str, Trip]) -> None:
    of_each_clip = made(trips, name).prompts
    assert all(map(any, of_each_clip))
    assert len({tuple(forms) for forms in of_each_clip}) == 1, "one form serves every recording"


@pytest.mark.parametrize("name", BUILDERS)
def test_the_service_over_the_folder_writes_the_same(name: str, trips: dict[str, Trip]) -> None:
    found = made(trips, name)
    for (here, _), there in zip(found.served, found.answered, strict=True):
        assert len(there) > 2
        assert there == here[: len(there)]


@pytest.mark.parametrize("name", BUILDERS)
def test_training_and_the_audio_both_change_the_answer(name: str, trips: dict[str, Trip]) -> None:
    found = made(trips, name)
    before, after, silent = ([tuple(ids) for ids, _ in made] for made in (found.before, found.after, found.silent))
    assert after[0] != after[1], "another recording, another answer"
    for three in zip(before, after, silent, strict=True):
        assert len(set(three)) == 3
    assert all(len(set(ids)) > 2 for ids in after), "tokens that repeat would be equal by chance"
