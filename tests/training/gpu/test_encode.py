from pathlib import Path

import numpy as np

from tests.training.tiny import noise, record
from training.align.encoder import Clip
from training.gpu.encode import encode_all, main


def test_threads_give_what_one_gives_where_align_looks_for_it(audio_folder: Path, tmp_path: Path) -> None:
    rows = [record(i, tmp_path, noise(0.5, seed=i)) for i in range(3)]
    (tmp_path / "records.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    assert encode_all(audio_folder, rows, tmp_path / "alone", 1, 1) == 3
    arguments = ["--base", audio_folder, "--data", tmp_path / "records.jsonl", "--features", tmp_path / "many"]
    assert main([str(a) for a in [*arguments, "--layers", 1, "--threads", 2]]) == 0
    alone, many = (sorted((tmp_path / name).iterdir()) for name in ("alone", "many"))
    assert len(alone) == 3
    assert [file.name for file in alone] == [file.name for file in many], "align finds them under the same names"
    for one, other in zip(alone, many, strict=True):
        assert Clip(rows[0], one).lower().any()
        np.testing.assert_allclose(np.load(one).astype(float), np.load(other).astype(float), atol=2e-2)
