import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.core.prompts import Style, instruction
from tests.training.tiny_checkpoints import noise, record
from training.data.record import Record
from training.data.record_files import UnusableRecord, read_records, write_records
from training.synth.text import generate

MINIMAL = {"id": "a", "audio": "a.wav", "query": "Sum it up.", "summary": "A pump failed.", "transcript": "The pump."}


def written(file: Path, *rows: Any) -> Path:
    """A file of these rows as somebody else would have written it."""
    if file.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        blank = {name: None for row in rows for name in row}
        parquet.write_table(pyarrow.Table.from_pylist([blank | row for row in rows]), file)
    else:
        file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def refusal(*files: Path) -> list[str]:
    with pytest.raises(UnusableRecord) as caught:
        read_records(*files)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.parquet"])
def test_a_minimal_record_is_a_record(name: str, tmp_path: Path) -> None:
    (row,) = read_records(written(tmp_path / name, MINIMAL))
    assert (row.id, row.query, row.summary, row.transcript) == ("a", "Sum it up.", "A pump failed.", "The pump.")
    assert row.audio == str(tmp_path / "a.wav"), "beside the file"
    assert (row.facts, row.style, row.words, row.split, row.license) == ([], None, 2, "train", "unknown")


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    rows = list(generate(1, 3, "dev", max_words=60))
    assert {(r.source, r.license) for r in rows} == {("speechsum generator", "CC0-1.0")}
    rows += [record(1, tmp_path, noise(0.2), chosen="Better.", rejected="Worse.", extra={"speaker": "x", "n": [1]})]
    rows += [Record("b", "s3://bucket/b.flac", 1.5, 4.0, source="calls", recording="Monday", transcript="a\u2028b")]
    write_records(tmp_path / "deep" / name, rows)
    assert read_records(tmp_path / "deep" / name) == rows


def test_a_style_is_worded_where_there_is_no_query(tmp_path: Path) -> None:
    style = {"style": "bullets", "focus": "prices"}
    (row,) = read_records(written(tmp_path / "x.jsonl", {"id": "a", "style": style}))
    assert row.query == instruction(Style(**style))


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.parquet"])
def test_nothing_given_is_as_good_as_not_named(name: str, tmp_path: Path) -> None:
    file = written(tmp_path / name, MINIMAL, MINIMAL | {"id": "b", "duration_s": 3.5, "summary": None})
    first, second = read_records(file)
    assert (first.duration_s, second.duration_s, second.summary) == (None, 3.5, "")


def test_every_problem_of_every_file_is_named_at_once(tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", MINIMAL, "", {"summery": "x", "query": 5}, "{", "[]")
    two = written(tmp_path / "two.jsonl", MINIMAL | {"start": 3, "end": 2}, MINIMAL | {"split": "eval"})
    said = refusal(one, two)
    assert [line.split(": not a record: ")[0].removeprefix(f"{tmp_path}/") for line in said] == [
        *["one.jsonl, line 3"] * 3,
        "one.jsonl, line 4",
        "one.jsonl, line 5",
        "two.jsonl, line 1",
        "two.jsonl, line 2",
    ]
    text = "\n".join(said)
    assert "id: is missing; expected the record's name" in text
    assert "summery: is no field of a record; did you mean summary?" in text
    assert "query: 5: should be a valid string; expected what is asked for" in text
    assert "is no JSON" in text
    assert "a record is a mapping" in text
    assert "end: 2 is not after start, 3" in text
    assert "split: 'eval': should be 'train', 'dev' or 'test'" in text


def test_a_parquet_file_is_refused_by_row(tmp_path: Path) -> None:
    rows = [MINIMAL, MINIMAL | {"id": None}, MINIMAL | {"id": "c", "facts": '[{"kind": "who"}]'}]
    said = refusal(written(tmp_path / "x.parquet", *rows))
    assert len(said) == 2
    assert "x.parquet, row 2: not a record: id: is missing" in said[0]
    assert "row 3: not a record: facts[0].text" in said[1]
    (tmp_path / "y.parquet").write_text("no such thing")
    assert "y.parquet: is no Parquet file" in refusal(tmp_path / "y.parquet")[0]


def test_what_is_refused_is_no_endless_list(tmp_path: Path) -> None:
    said = refusal(written(tmp_path / "x.jsonl", *[{"id": 1}] * 50))
    assert len(said) == 21
    assert said[-1] == "and 30 more problems"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"facts": [{"kind": "whom", "text": "x"}]}, "facts[0].kind: 'whom'"),
        ({"turns": [[0, "x"], ["a", "b"]]}, "turns[1][0]: 'a'"),
        ({"style": {"style": "poem"}}, "style.style: "),
        ({"style": {"mood": "x"}}, "style.mood: "),
        ({"start": -1}, "start: -1: should be greater than or equal to 0; expected seconds"),
        ({"duration_s": "long"}, "duration_s: 'long'"),
        ({"audio": {"bytes": "x"}}, "audio: {'bytes': 'x'}: should be a valid string; expected a path"),
        ({"speaker": "x"}, "speaker: is no field of a record; what records do not know goes into `extra`"),
    ],
)
def test_what_is_wrong_with_a_field_is_said(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    (line,) = refusal(written(tmp_path / "x.jsonl", MINIMAL | fields))
    assert f"line 1: not a record: {said}" in line


def test_where_audio_lies(tmp_path: Path) -> None:
    places = ["clips/a.wav", "/data/a.wav", "file:///data/a%20b.wav", "s3://bucket/a.wav", "memory://a.wav", "c:a.wav"]
    file = written(tmp_path / "x.jsonl", *[MINIMAL | {"audio": place} for place in places])
    kept = [str(tmp_path / "clips" / "a.wav"), "/data/a.wav", "/data/a b.wav", "s3://bucket/a.wav", "memory://a.wav"]
    assert [row.audio for row in read_records(file)] == [*kept, str(tmp_path / "c:a.wav")]


def test_records_move_with_their_audio(tmp_path: Path) -> None:
    row = replace(record(1, tmp_path, noise(0.2)), audio=str(tmp_path / "x" / ".." / "1.wav"))
    write_records(tmp_path / "elsewhere" / "x.jsonl", [row])
    (again,) = read_records(tmp_path / "elsewhere" / "x.jsonl")
    assert again.audio == str(tmp_path / "1.wav")
