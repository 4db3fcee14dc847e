import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.__main__ import main
from training.eval.training_curves import panels, read_logs, shorten_name

SFT: list[dict[str, Any]] = [{"step": i, "loss": f"{3 - i / 10}"} for i in range(1, 4)]
SFT += [{"step": 2, "audio_gain": 0.1}, {"train_loss": 2.0}]
KD = [{"level": "tokens"}] + [{"step": i, "loss": 1.0 / i, "divergence": 1.0 / i, "clipped": 0.0} for i in range(1, 4)]


def written(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def test_a_panel_a_figure_a_line_a_run() -> None:
    found = panels({"sft": SFT, "kd": KD})
    assert found["loss"] == {"sft": [(1, 2.9), (2, 2.8), (3, 2.7)], "kd": [(1, 1), (2, 0.5), (3, pytest.approx(1 / 3))]}
    assert found["divergence"].keys() == {"kd"}
    assert "audio_gain" not in found, "one point is no curve"


def test_runs_are_named_by_folder_or_as_the_file_names_them(tmp_path: Path) -> None:
    assert read_logs(written(tmp_path / "sft" / "log.json", SFT)).keys() == {"sft"}
    assert read_logs(written(tmp_path / "tiny-2-log.json", SFT)).keys() == {"tiny-2-log"}
    assert read_logs(written(tmp_path / "both.json", {"first": SFT, "second": KD})).keys() == {"first", "second"}
    for no_log in (3, {"a": 1}):
        with pytest.raises(ValueError, match="holds no log"):
            read_logs(written(tmp_path / "x.json", no_log))


def test_the_command_draws_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = [written(tmp_path / name / "sft" / "log.json", SFT) for name in ("a", "b")]
    logs.append(written(tmp_path / "kd" / "log.json", KD))
    out = tmp_path / "pictures" / "curves.png"
    assert main(["curves", *map(str, logs), "--out", str(out)]) == 0
    assert "3 panels" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50, "something is drawn on it"


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no curve"):
        main(["curves", str(written(tmp_path / "log.json", SFT[:1])), "--out", str(tmp_path / "x.png")])


def test_a_long_name_is_shortened() -> None:
    assert shorten_name("x" * 90) == "x" * 90
    assert shorten_name("x" * 91) == "x" * 89 + "…"
