"""A soak of a minute, as a whole: clients, faults, the account and the report."""

import json
from pathlib import Path

import pytest

from tools.soak.__main__ import main
from tools.soak.receiver import read_deliveries


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_minute_with_faults_breaks_no_rule(tmp_path: Path) -> None:
    status = main(["--minutes", "1", "--faults", "9", "--report", str(tmp_path)])
    figures = json.loads((tmp_path / "soak.json").read_text())
    assert figures["violations"] == []
    assert status == 0
    assert figures["faults"] == 9
    assert figures["outcomes"]["answer"] > 20
    assert figures["jobs"] == figures["webhooks"] > 0
    assert "No rule was broken." in (tmp_path / "soak.md").read_text()


def test_a_delivery_that_a_kill_has_cut_does_not_count(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    assert read_deliveries(rows) == []
    rows.write_text('{"id": "msg-1", "job": "job-1"}\n{"id": "ms')
    assert read_deliveries(rows) == [("job-1", "msg-1")]
