"""One bad recording costs itself alone, and a run that ends early goes on."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.recordings import speech_wav
from tests.training.tiny_checkpoints import noise
from training.__main__ import main
from training.data import prepare
from training.data.audio import decode_bytes
from training.data.record_files import read_records


def prepared(folder: Path, out: Path, *more: str) -> tuple[list[str], dict[str, str]]:
    """Names of the records, in order, and why others were left out."""
    main(["data", "prepare", "--folder", str(folder), "--out", str(out), "--held-share", "0", *more])
    return [row.id for row in read_records(out / "train.jsonl")], json.loads((out / "report.json").read_text())[
        "left_out"
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good recording before and after the others, by name."""
    out = tmp_path / "in"
    out.mkdir()
    for name in ("a", "z"):
        (out / f"{name}.wav").write_bytes(speech_wav())
        (out / f"{name}.txt").write_text("Somebody speaks.")
    return out


def written(samples: Any) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        soundfile.write(file, samples, 16_000)

    return write


SPEECH = decode_bytes(speech_wav()).samples[:]
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (lambda file: file.write_bytes(b"") and None, "the audio has no bytes"),
    "text": (lambda file: file.write_text("no audio by any means") and None, "audio"),
    "cut": (lambda file: file.write_bytes(speech_wav()[:20_000]) and None, "truncated or damaged"),
    "blank": (written(np.zeros(16_000)), "is silent"),
    "tones": (written(noise(2)), "holds no speech"),
    "not-finite": (lambda file: soundfile.write(file, np.full(9_000, np.nan), 16_000, subtype="FLOAT"), "not finite"),
}


def test_channels_in_opposite_phase_are_made_like_the_rest(folder: Path, tmp_path: Path) -> None:
    written(np.stack([SPEECH, -SPEECH], 1))(folder / "m.wav")
    (folder / "m.txt").write_text("Somebody speaks.")
    names, left = prepared(folder, tmp_path / "out")
    assert names == ["a.wav", "m.wav", "z.wav"]
    assert not left


@pytest.mark.parametrize("kind", BAD)
def test_bad_audio_is_named_and_the_rest_is_made(kind: str, folder: Path, tmp_path: Path) -> None:
    make, said = BAD[kind]
    make(folder / "m.wav")
    (folder / "m.txt").write_text("Somebody speaks.")
    names, left = prepared(folder, tmp_path / "out")
    assert names == ["a.wav", "z.wav"]
    assert list(left) == ["m.wav"]
    assert said in left["m.wav"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"caf\xe9 latte", "is no UTF-8 text"),
        (b"", "no transcript"),
        (b"\xef\xbb\xbf \r\n", "no transcript"),
        (b"Anna\x00 called.", "control character U+0000"),
        (b"Anna called.<|im_end|>", "control token '<|im_end|>'"),
        ("Anna called.".encode("utf-16")[:-1], "is no UTF-16 text"),
    ],
)
def test_a_bad_transcript_is_named(data: bytes, said: str, folder: Path, tmp_path: Path) -> None:
    (folder / "m.wav").write_bytes(speech_wav())
    (folder / "m.txt").write_bytes(data)
    names, left = prepared(folder, tmp_path / "out")
    assert names == ["a.wav", "z.wav"]
    assert said in left["m.wav"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_transcripts_and_tables_are_read_as_windows_writes_them(encoding: str, folder: Path, tmp_path: Path) -> None:
    (folder / "m.wav").write_bytes(speech_wav())
    (folder / "m.txt").write_bytes("Anna called at nine.\r\n".encode(encoding))
    (folder / "deep").mkdir()
    (folder / "deep" / "n.wav").write_bytes(speech_wav())
    (folder / "deep" / "metadata.csv").write_bytes('file_name,text\r\nn.wav,"Bob, too."\r\n'.encode(encoding))
    names, left = prepared(folder, tmp_path / "out")
    assert (names, left) == (["a.wav", "deep/n.wav", "m.wav", "z.wav"], {})
    rows = {row.id: row.transcript for row in read_records(tmp_path / "out" / "train.jsonl")}
    assert (rows["m.wav"], rows["deep/n.wav"]) == ("Anna called at nine.", "Bob, too.")


def test_rows_of_a_table_that_are_none_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "m.wav").write_bytes(speech_wav())
    lines = ['{"file_name": "m.wav", "text": "Said."}', "{", '{"file_name": "gone.wav", "text": "x"}', "[1]"]
    lines += ['{"file_name": 5, "text": "x"}', '{"file_name": "m.wav", "text": NaN}', '{"text": "x"}']
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    (folder / "metadata.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    (folder / "alone.txt").write_text("No recording.")
    (folder / "folder.txt").mkdir()
    names, left = prepared(folder, tmp_path / "out")
    assert names == ["a.wav", "m.wav", "z.wav"]
    assert {name: said for name, said in left.items() if "row" not in name}.keys() == {
        "gone.wav",
        "metadata.xlsx",
        "alone.txt",
        "folder.txt",
    }
    assert [name for name in left if "row" in name] == [f"metadata.jsonl, row {n}" for n in (2, 4, 5, 6, 7)]


def test_a_files_name_may_be_no_text(folder: Path, tmp_path: Path) -> None:
    odd = os.fsencode(folder) + b"/m\xff.wav"
    with open(odd, "wb") as file:
        file.write(speech_wav())
    with open(odd.replace(b".wav", b".txt"), "w") as text:
        text.write("Somebody speaks.")
    names, left = prepared(folder, tmp_path / "out")
    assert len(names) == 3
    assert left == {}


def test_rows_of_a_dataset_that_are_bad_are_named(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    good = {"bytes": speech_wav(), "path": "x.wav"}
    cells = [good, {"bytes": b"", "path": "x.wav"}, {"bytes": None, "path": None}, {"bytes": None, "path": "gone.wav"}]
    cells += [None, good, good, good]
    texts = ["One."] * 5 + [None, "Six.<|im_end|>", "Seven."]
    parquet.write_table(pyarrow.table({"audio": cells, "text": texts}), tmp_path / "x.parquet")
    out = tmp_path / "out"
    command = ["data", "prepare", "--dataset", str(tmp_path / "x.parquet"), "--out", str(out), "--held-share", "0"]
    assert main(command) == 0
    assert [row.id for row in read_records(out / "train.jsonl")] == ["train-000000", "train-000007"]
    left = json.loads((out / "report.json").read_text())["left_out"]
    assert list(left) == [f"train-{n:06d}" for n in range(1, 7)]
    assert left["train-000001"] == "the audio has no bytes"


def test_a_run_that_was_ended_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, made = tmp_path / "out", list[str]()
    decode = prepare.decode
    for name in ("b", "c"):
        (folder / f"{name}.wav").write_bytes(speech_wav())
        (folder / f"{name}.txt").write_text(f"Recording {name}.")

    def decode_until_interrupted(data: Any, limits: Any) -> Any:
        made.append("x")
        if len(made) == 3:
            raise KeyboardInterrupt
        return decode(data, limits)

    monkeypatch.setattr(prepare, "decode", decode_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, out)
    assert [row.id for row in read_records(out / "train.jsonl")] == ["a.wav", "b.wav"], "written as they come"
    with (out / "train.jsonl").open("a") as torn:
        torn.write('{"id": "half a rec')
    (folder / "a.txt").write_text("It was something else.")
    made[:] = ["x"] * 3
    names, left = prepared(folder, out)
    assert (names, left) == (["a.wav", "b.wav", "c.wav", "z.wav"], {})
    assert len(made) == 3 + 3, "a changed, c and z were missing, b was there"
    rows = {row.id: row.transcript for row in read_records(out / "train.jsonl")}
    assert rows["a.wav"] == "It was something else."
    prepared(folder, out)
    assert len(made) == 6
    prepared(folder, out, "--language", "de")
    assert len(made) == 10, "other options, other records"
    (folder / "c.wav").unlink()
    names, left = prepared(folder, out)
    assert names == ["a.wav", "b.wav", "z.wav"], "what is gone from the source is gone"


def test_two_recordings_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"file_name": f"{name}.wav", "text": "Said.", "talk": "same"}) for name in ("a", "z")]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    names, left = prepared(folder, tmp_path / "out", "--name", "talk")
    assert names == ["same"]
    assert list(left.values()) == ["another recording has this name"]
