import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.data import people
from training.data.record_files import read_records
from training.eval.breakdown import voice_kind


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The packages' files, each half a second of a tone at another rate than the records have."""
    tone = np.sin(np.arange(4_000) * 0.2)
    for line in people.RECORDS_FILE.read_text().splitlines():
        for name in json.loads(line)["extra"]["files"]:
            file = tmp_path / "files" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, tone, 8_000)
    return tmp_path / "files"


def test_prompts_are_joined_into_records_with_facts(packages: Path, tmp_path: Path) -> None:
    assert people.run(argparse.Namespace(out=tmp_path / "out", packages=packages)) == 0
    records = read_records(tmp_path / "out" / "records.jsonl")
    assert len(records) == len({record.id for record in records}) == 13
    for record in records:
        assert record.query
        assert record.transcript
        assert any(fact.core for fact in record.facts)
        assert voice_kind(record) == "person"
        count = len(record.extra["files"])
        assert record.duration_s == pytest.approx(0.5 * count + people.PAUSE_S * (count - 1), abs=0.01)
        samples, rate = soundfile.read(str(record.audio))
        assert (rate, len(samples)) == (16_000, round(record.duration_s * 16_000))


def test_a_file_that_the_packages_do_not_hold_is_named(packages: Path, tmp_path: Path) -> None:
    next(packages.rglob("demo-echotest.wav")).unlink()
    with pytest.raises(FileNotFoundError, match=r"demo-echotest\.wav is not in the packages asterisk"):
        people.build_records(packages, tmp_path / "out")
