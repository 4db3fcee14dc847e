"""The service follows its OpenAPI document: valid requests are answered as described, and nothing ends in a 5xx."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.running_service import Site
from tests.checks.threaded_service import serve_in_thread

HERE = Path(__file__).parent
# A host that is allowed, so that a URL reaches its checks. Nothing is fetched, because no host name ends in .invalid.
FETCH = {"enabled": True, "hosts": ["*.example.invalid"]}


KEY = "key"
AUTH = {"keys": [KEY]}


def run_schemathesis(site: Site, *options: str) -> None:
    """Run Schemathesis against a service, and check that the service is idle afterwards."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(HERE / "schemathesis.toml"),
        # It discards many names with a pattern, by some seeds more than its health check accepts.
        "run", "--suppress-health-check", "filter_too_much", "--header", f"Authorization: Bearer {KEY}",
        f"http://127.0.0.1:{site.port}/openapi.json", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.checks.schemathesis_hooks"},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
    )
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(site.engine.requests) > 0, "no request reached the engine"
    assert (
        site.engine.running_requests == site.service.admission.active_requests == site.service.admission.held_bytes == 0
    )


def test_a_few_requests_to_every_route_are_answered_as_described() -> None:
    with serve_in_thread(auth=AUTH, fetch=FETCH) as site:
        run_schemathesis(site, "--phases", "fuzzing", "--max-examples", "8", "--seed", "1", "--no-shrink")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("real_audio", [False, True], ids=["wave decoder", "real decoder"])
def test_every_route_answers_as_described(real_audio: bool) -> None:
    with serve_in_thread(auth=AUTH, fetch=FETCH, real_audio=real_audio) as site:
        run_schemathesis(site, "--max-examples", "100")
