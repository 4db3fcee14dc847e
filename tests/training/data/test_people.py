import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from training.data import people
from training.data.people_sources import PAUSE_S, WrongSound
from training.data.record import Record
from training.data.record_files import read_records
from training.eval.breakdown import voice_kind
from training.facts.coverage import Fact, is_covered

ROWS: list[dict[str, Any]] = [json.loads(line) for line in people.RECORDS_FILE.read_text().splitlines()]
SPOKEN = [row for row in ROWS if not row.get("no_speech")]


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The sounds "one.wav" and "two.wav", each half a second of a tone at another rate than the records have."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("one", "two"):
        soundfile.write(folder / f"{name}.wav", np.sin(np.arange(4_000) * 0.2), 8_000)
    return folder


def write_rows(tmp_path: Path, *sources: dict[str, Any]) -> Path:
    file = tmp_path / "rows.jsonl"
    rows = [{"id": f"row-{n}", "style": {"style": "tldr"}, "extra": source} for n, source in enumerate(sources)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_sounds_are_joined_into_a_record_with_a_file_at_16_khz(packages: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path, {"files": ["one.wav", "two.wav"]}, {"files": ["one.wav", "two.wav"], "seconds": 0.75})
    whole, part = people.build_records(packages, tmp_path / "out", rows)
    assert whole.duration_s == pytest.approx(0.5 + PAUSE_S + 0.5, abs=0.01)
    assert part.duration_s == 0.75
    assert read_records(tmp_path / "out" / "records.jsonl") == [whole, part]
    samples, rate = soundfile.read(str(whole.audio))
    assert (rate, len(samples)) == (16_000, round((whole.duration_s or 0) * 16_000))
    assert abs(samples[8_000 : 8_000 + round(PAUSE_S * 16_000)]).max() < 0.01 < abs(samples[:8_000]).max()


def test_noise_needs_no_package(tmp_path: Path) -> None:
    rows = write_rows(tmp_path, {"noise": {"seconds": 1.5, "exponent": 1, "seed": 3}})
    (record,) = people.build_records(tmp_path / "nothing", tmp_path / "out", rows)
    samples, _ = soundfile.read(str(record.audio))
    assert (len(samples), record.duration_s) == (24_000, 1.5)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.05, rel=0.01)


def test_the_command_names_a_file_that_the_packages_do_not_hold(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongSound, match=r"\.wav is not in the packages asterisk"):
        people.run(argparse.Namespace(out=tmp_path / "out", packages=packages))


def test_the_set_has_people_in_several_languages_and_recordings_without_speech() -> None:
    assert len(ROWS) == len({row["id"] for row in ROWS})
    assert len(SPOKEN) >= 40
    assert len(ROWS) - len(SPOKEN) >= 2
    languages = Counter(row["language"] for row in SPOKEN)
    assert languages["en"] >= 30
    assert all(languages[language] >= 2 for language in ("es", "fr", "it", "ru"))
    assert sum(len(row["facts"]) for row in SPOKEN) >= 120


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_each_row_is_a_test_record_of_a_person_or_of_nobody(row: dict[str, Any]) -> None:
    record = Record.from_fields(row)
    assert record.query
    assert record.split == "test"
    assert record.license != "unknown"
    assert record.source
    assert voice_kind(record) == ("none" if record.no_speech else "person")
    assert bool(record.transcript) == bool(record.facts) == (not record.no_speech)
    assert "noise" in record.extra or (record.extra["files"] and len(record.extra["sha256"]) == 64)


@pytest.mark.parametrize("row", SPOKEN, ids=lambda row: row["id"])
def test_every_fact_of_a_row_is_found_in_its_transcript_and_not_in_another_text(row: dict[str, Any]) -> None:
    facts = [Fact.from_json(fact) for fact in row["facts"]]
    assert any(fact.core for fact in facts)
    assert [fact.text for fact in facts if not is_covered(fact, row["transcript"])] == []
    assert [fact.text for fact in facts if is_covered(fact, "Nothing was understood.")] == []
