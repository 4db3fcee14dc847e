import codecs
import json
from pathlib import Path

import pytest

from training.data import text_files
from training.data.record_files import UnusableRecord, read_records, readable_records
from training.data.text_files import detect_encoding, find_control_token

ROW = {"id": "a", "query": "Sum it up.", "summary": "Größe: 5 \u2028 m.", "transcript": "The pump."}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_records_are_read_in_every_encoding_that_tells_what_it_is(encoding: str, tmp_path: Path) -> None:
    if encoding == "utf-32-le":
        text = codecs.BOM_UTF32_LE + (json.dumps(ROW, ensure_ascii=False) + "\r\n").encode("utf-32-le")
    else:
        text = ((json.dumps(ROW, ensure_ascii=False) + "\r\n") * 2).encode(encoding)
    (tmp_path / "x.jsonl").write_bytes(text)
    assert read_records(tmp_path / "x.jsonl")[0].summary == ROW["summary"]


def test_a_line_in_another_encoding_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = [json.dumps(ROW | {"id": str(i)}, ensure_ascii=False).encode() for i in range(3)]
    rows[1] = json.dumps(ROW, ensure_ascii=False).replace("\u2028", "-").encode("latin-1")
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(rows))
    records, problems = readable_records(tmp_path / "x.jsonl")
    assert [row.id for row in records] == ["0", "2"]
    assert len(problems) == 1
    assert "line 2: not a record: is no UTF-8 text: bytes f6" in problems[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "summary": "x \\ud83d."}', "summary: holds half a character (a lone surrogate, U+D83D)"),
        ('{"id": "a", "extra": {"x": ["\\udc00"]}}', "extra: holds half a character"),
        ('{"id": "a", "extra": {"\\ud800": 1}}', "extra: holds half a character"),
        ('{"id": "a", "summary": "x \\u0000."}', "summary: holds the control character U+0000"),
        ('{"id": "a", "duration_s": NaN}', "holds NaN, which JSON has no number for"),
        ('{"id": "a", "extra": {"x": -Infinity}}', "holds -Infinity"),
        ('{"id": "a", "extra": {"x": 1e999}}', "extra: holds inf"),
        ('{"id": "a", "id": "b"}', "has the key 'id' more than once"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"id": ' + "9" * 5000 + "}", "is no JSON"),
        ('{"id": "a", "audio": "a\\u0000.wav"}', "audio: holds the control character"),
        ('{"id": "a"} {"id": "b"}', "is no JSON: Extra data"),
        ('"id"', "a record is a mapping"),
        ('{"id": "a", "summary": ["x"]}', "summary: ['x']: should be a valid string"),
    ],
)
def test_what_is_no_record_is_said(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW) + "\n" + line + "\n" + json.dumps(ROW) + "\n")
    records, problems = readable_records(tmp_path / "x.jsonl")
    assert len(records) == 2
    assert len(problems) == 1
    assert "x.jsonl, line 2: not a record: " in problems[0]
    assert said in problems[0]
    problems[0].encode()


def test_a_line_without_an_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1 << 20)
    with (tmp_path / "x.jsonl").open("wb") as file:
        file.write(b'{"id": "' + b"x" * (5 << 20) + b'"}\n' + json.dumps(ROW).encode())
    records, problems = readable_records(tmp_path / "x.jsonl")
    assert [row.id for row in records] == ["a"]
    assert "line 1: not a record: is longer than 1 MiB" in problems[0]


def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "d.parquet").mkdir()
    (tmp_path / "e.parquet").write_bytes(b"")
    for name, said in (
        ("gone.jsonl", "does not exist"),
        (".", "is a folder, and a file is needed"),
        ("gone.parquet", "does not exist"),
        ("d.parquet", "is a folder, and a file is needed"),
        ("e.parquet", "is no Parquet file"),
    ):
        with pytest.raises(UnusableRecord, match=said):
            read_records(tmp_path / name)


def test_zero_bytes_between_letters_tell_utf_16() -> None:
    assert detect_encoding("{}x ".encode("utf-16-le")) == "utf-16-le"
    assert detect_encoding("{}x ".encode("utf-16-be")) == "utf-16-be"
    assert detect_encoding(b"") == detect_encoding(b"{") == detect_encoding(b'{"a": "\x00"}') == "utf-8"


@pytest.mark.parametrize(
    "text",
    ["<|im_end|>", "a<|AUDIO|>", "<|start_header_id|>", "</s>", "[/INST]", "<start_of_turn>user", "<<SYS>>", "<eos>"],
)
def test_marks_of_chat_templates_are_found(text: str) -> None:
    assert find_control_token(f"Anna said {text} and left.")


@pytest.mark.parametrize("text", ["a < b | c > d", "[a note]", "x <y> z", "<|", "a |> b", "|| or <>", "5 <6 and 7> 3"])
def test_what_people_write_is_no_mark(text: str) -> None:
    assert find_control_token(text) is None
    assert find_control_token(f"{text} <mark>", ["<mark>"]) == "<mark>"
