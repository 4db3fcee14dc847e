"""Whether a hub is asked: at once where one answers, at a bounded cost where none does, and never where it is off."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_repo import hub_access
from model_repo.hub_access import use_hub
from tests.model_repo.hub_stand_in import HubStandIn

ROOT = Path(__file__).resolve().parents[2]
ASK_TWICE = "from model_repo.hub_access import use_hub; print(use_hub(), use_hub())"


def ask_twice(**environment: str) -> str:
    """What a process that has no cached answer says, without what the tests set."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("SPEECHSUM_HUB", "HF_HUB_OFFLINE")}
    command = [sys.executable, "-c", ASK_TWICE]
    return subprocess.check_output(command, cwd=ROOT, text=True, env=inherited | environment).strip()


def test_a_hub_that_answers_is_used_and_asked_once(hub: HubStandIn) -> None:
    assert ask_twice() == "True True"
    assert [method for method, *_ in hub.requests] == ["HEAD"]


def test_a_hub_that_is_not_there_or_off_is_not_used(no_hub: str) -> None:
    assert ask_twice() == "False False"
    assert ask_twice(SPEECHSUM_HUB="true") == "True True", "the setting demands it"


def test_a_hub_that_is_switched_off_is_not_even_asked(hub: HubStandIn) -> None:
    assert ask_twice(HF_HUB_OFFLINE="1") == "False False"
    assert ask_twice(SPEECHSUM_HUB="false") == "False False"
    assert hub.requests == []


@pytest.mark.timing
def test_a_hub_that_does_not_answer_costs_three_seconds_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("SPEECHSUM_HUB")
    monkeypatch.setattr(hub_access, "OFFLINE_SETTING", "")
    hub_access.hub_answers.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started_at = time.monotonic()
        assert not use_hub()
        assert 2.9 < time.monotonic() - started_at < 3.5
        assert not use_hub()
        assert time.monotonic() - started_at < 3.6
    hub_access.hub_answers.cache_clear()


def test_an_option_comes_before_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_HUB", "true")
    assert (use_hub(), use_hub(False)) == (True, False)
    monkeypatch.setenv("SPEECHSUM_HUB", "false")
    assert (use_hub(), use_hub(True)) == (False, True)
