import json
from pathlib import Path

from tools.offline_gpu.run_summary import code_digest, collect, table_lines


def tree(root: Path, text: str) -> Path:
    (root / "training").mkdir(parents=True)
    (root / "training/a.py").write_text(text)
    (root / "training/notes.md").write_text(str(root))
    return root


def test_the_codes_digest_is_of_its_code_alone(tmp_path: Path) -> None:
    one, same, other = (tree(tmp_path / name, text) for name, text in (("1", "x"), ("2", "x"), ("3", "y")))
    assert code_digest(one) == code_digest(same) != code_digest(other)


def test_stages_that_left_something_are_in_the_table(tmp_path: Path) -> None:
    for name in ("sft", "align"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter.safetensors").write_text("")
    log = [{"loss": 2.5}, {"audio_gain": 0.25}, {"train_runtime": 9.0}]
    (tmp_path / "sft/log.json").write_text(json.dumps(log))
    (tmp_path / "sft/seconds").write_text("12")
    (tmp_path / "twin").mkdir()
    (tmp_path / "speech/00").mkdir(parents=True)
    (tmp_path / "speech/00/clips.jsonl").write_text('{"duration_s": 1800.0}\n{"duration_s": 1800.0}\n')
    result = collect(tmp_path, tmp_path / "packed")
    assert result["speech"] == {"clips": 2, "hours": 1.0}
    assert result["stages"].keys() == {"align", "sft"}
    assert result["stages"]["sft"]["audio_gain"] == [0.25]
    text = "\n".join(table_lines(result))
    assert "sft      finished     12 s  loss 2.5  audio gain +0.2500" in text
    assert "align    cut short" in text
    (tmp_path / "align/taken").touch()
    assert "align    taken" in "\n".join(table_lines(collect(tmp_path, tmp_path / "packed")))


def test_code_changed_since_packing_is_told(tmp_path: Path) -> None:
    assert collect(tmp_path, tmp_path)["code_as_packed"] is None
    (tmp_path / "code").write_text("0" * 64)
    assert collect(tmp_path, tmp_path)["code_as_packed"] is False
