from pathlib import Path

import numpy as np

from tests.training.tiny import noise, record
from training.gpu.encode import encode_share, main


def test_shares_give_what_one_process_gives(audio_folder: Path, tmp_path: Path) -> None:
    rows = [record(i, tmp_path, noise(0.5, seed=i)) for i in range(3)]
    (tmp_path / "records.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    assert encode_share(audio_folder, rows, tmp_path / "alone", 1) == 3
    arguments = ["--base", audio_folder, "--data", tmp_path / "records.jsonl", "--features", tmp_path / "many"]
    assert main([str(a) for a in [*arguments, "--layers", 1, "--processes", 2]]) == 0
    alone, many = (sorted((tmp_path / name).iterdir()) for name in ("alone", "many"))
    assert len(alone) == 3
    assert [file.name for file in alone] == [file.name for file in many], "align finds them under the same names"
    for one, other in zip(alone, many, strict=True):
        np.testing.assert_allclose(np.load(one).astype(float), np.load(other).astype(float), atol=2e-2)
