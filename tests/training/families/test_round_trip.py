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


# A trip is a minute with the start of a vLLM engine. The family of the default shape makes its own in every run.
def families(*names: str) -> pytest.MarkDecorator:
    """Run a test for these families in `make test-slow`; `trip` is that of the one at hand."""
    params = [pytest.param(name, marks=pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("trip", params, indirect=True)


@pytest.fixture(scope="module")
def trip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trip:
    name, folder = request.param, tmp_path_factory.mktemp("trips")
    real = all(map(importlib.util.find_spec, ("torchaudio", "torchvision")))
    paths = [os.getcwd()] if real else [os.getcwd(), str(STAND_IN)]
    command = [sys.executable, "-m", "tests.training.families.round_trip", str(folder), name]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    made = json.loads((folder / f"{name}.json").read_text())
    assert "error" not in made, made["error"]
    return Trip(**made)


def test_every_family_that_hears_makes_the_trip() -> None:
    heard = {name for name, family in FAMILIES.items() if family.takes_audio}
    assert heard == {*BUILDERS, "audioflamingo3"}, "the default shape's trip is tests/app/engine/test_vllm.py"


@families(*BUILDERS)
def test_what_vllm_writes_is_what_transformers_writes(trip: Trip) -> None:
    for (here, likely), (there, as_likely) in zip(trip.after, trip.served, strict=True):
        assert there == here
        assert as_likely == pytest.approx(likely, abs=2e-3)


@families(*(name for name in BUILDERS if not FAMILIES[name].weight_sync_refusal))
def test_a_server_that_is_handed_a_students_weights_writes_what_the_student_would(trip: Trip) -> None:
    for (here, likely), (there, as_likely) in zip(trip.before, trip.reloaded, strict=True):
        assert there == here
        assert as_likely == pytest.approx(likely, abs=2e-3)


@families(*BUILDERS)
def test_a_form_of_the_question_gives_a_server_the_prompt_that_is_trained_on(trip: Trip) -> None:
    of_each_clip = trip.prompts
    assert all(map(any, of_each_clip))
    assert len({tuple(forms) for forms in of_each_clip}) == 1, "one form serves every recording"


@families(*BUILDERS)
def test_the_service_over_the_folder_writes_the_same(trip: Trip) -> None:
    for (here, _), there in zip(trip.served, trip.answered, strict=True):
        assert len(there) > 2
        assert there == here[: len(there)]


@families(*BUILDERS)
def test_training_and_the_audio_both_change_the_answer(trip: Trip) -> None:
    before, after, silent = ([tuple(ids) for ids, _ in made] for made in (trip.before, trip.after, trip.silent))
    assert after[0] != after[1], "another recording, another answer"
    for three in zip(before, after, silent, strict=True):
        assert len(set(three)) == 3
    assert all(len(set(ids)) > 2 for ids in after), "tokens that repeat would be equal by chance"
