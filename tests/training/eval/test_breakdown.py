from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny_checkpoints import record
from training.eval.breakdown import (
    breakdown,
    evaluation_set_name,
    length_bucket,
    natural_rows,
    no_speech_figures,
    scored_rows,
    voice_kind,
)
from training.eval.scores import score_rows
from training.facts.coverage import Fact

FACTS = [Fact("who", "Anna", core=True), Fact("when", "Friday")]


def spoken(number: int, folder: Path, voice: str | None, seconds: float) -> Any:
    return record(number, folder, voice=voice, duration_s=seconds, transcript="Anna calls on Friday.", facts=FACTS)


@pytest.mark.parametrize(
    ("voice", "kind"),
    [
        (None, "person"),
        ("kokoro:af_sky", "natural"),
        ("kokoro:af_sky, kokoro:am_onyx", "natural"),
        ("espeak:en-us+f5", "robotic"),
        ("kokoro:af_sky, espeak:en-us+f5", "robotic"),
        ("flite:slt", "robotic"),
    ],
)
def test_a_voice_is_a_persons_or_natural_or_robotic(voice: str | None, kind: str, tmp_path: Path) -> None:
    assert voice_kind(spoken(1, tmp_path, voice, 5)) == kind


@pytest.mark.parametrize(
    ("seconds", "name"), [(3, "0-15 s"), (15, "15-30 s"), (87.5, "60-120 s"), (4000, "over 120 s"), (None, "unknown")]
)
def test_lengths_are_named(seconds: float | None, name: str) -> None:
    assert length_bucket(seconds) == name


def test_figures_are_told_by_kind_of_voice_and_by_length(tmp_path: Path) -> None:
    records = [
        spoken(1, tmp_path, "kokoro:af_sky", 8),
        spoken(2, tmp_path, None, 80),
        spoken(3, tmp_path, "espeak:en-us+f5", 9),
    ]
    rows = score_rows(records, ["Anna calls on Friday.", "Anna calls Ben Miller.", "Somebody calls."])
    found = breakdown(records, rows)
    assert {name: one["coverage"] for name, one in found["voices"].items()} == {
        "person": 0.5,
        "natural": 1,
        "robotic": 0,
    }
    assert {name: one["coverage"] for name, one in found["lengths"].items()} == {"0-15 s": 1, "60-120 s": 0.5}
    assert found["voices"]["person"]["facts_less_inventions"] == 0
    assert [row["id"] for row in natural_rows(records, rows)] == [one.id for one in records[:2]]


def test_where_all_voices_are_robotic_lengths_are_theirs(tmp_path: Path) -> None:
    records = [spoken(1, tmp_path, "espeak:en-us+f5", 9)]
    assert breakdown(records, score_rows(records, ["Anna."]))["lengths"]["0-15 s"]["coverage"] == 0.5


def test_a_set_is_known_by_what_is_asked_and_counted_and_not_by_order_or_place(tmp_path: Path) -> None:
    one, two = spoken(1, tmp_path, None, 5), spoken(2, tmp_path / "elsewhere", "kokoro:af_sky", 5)
    assert evaluation_set_name([one, two]) == evaluation_set_name([two, one])
    assert evaluation_set_name([one]) != evaluation_set_name([two]) != evaluation_set_name([one, two])
    other = record(1, tmp_path, duration_s=5, transcript="Anna calls on Friday.", facts=FACTS[:1])
    assert evaluation_set_name([other]) != evaluation_set_name([one])


def test_recordings_without_speech_have_no_scores_but_a_share_that_was_declined(tmp_path: Path) -> None:
    records = [
        spoken(1, tmp_path, None, 8),
        *(record(n, tmp_path, transcript="", facts=[], no_speech=True, duration_s=9) for n in (2, 3, 4, 5)),
    ]
    rows = score_rows(records, ["Anna calls on Friday.", "A talk.", "", "", ""])
    found = breakdown(records, rows)
    assert list(found["voices"]) == ["person"]
    assert list(found["lengths"]) == ["0-15 s"]
    assert (
        [row["id"] for row in natural_rows(records, rows)]
        == ["clip-1"]
        == [r["id"] for r in scored_rows(records, rows)]
    )
    assert voice_kind(records[1]) == "none"
    figures = no_speech_figures(records, rows, [True, False, True, True, True])
    assert (figures["recordings"], figures["declined"]) == (4, 0.75)
    low, high = figures["declined_95"]
    assert 0 <= low < 0.75 < high <= 1
    assert no_speech_figures(records[:1], rows[:1], [True]) == {}


def test_natural_voices_are_scored_by_language_where_there_are_several(tmp_path: Path) -> None:
    one = spoken(1, tmp_path, None, 5)
    two = record(2, tmp_path, language="es", transcript="Anna llama el viernes.", facts=FACTS, duration_s=5)
    rows = score_rows([one, two], ["Anna calls on Friday.", "Anna."])
    assert "languages" not in breakdown([one], rows[:1])
    found = breakdown([one, two], rows)["languages"]
    assert {name: figures["coverage"] for name, figures in found.items()} == {"en": 1, "es": 0.5}
