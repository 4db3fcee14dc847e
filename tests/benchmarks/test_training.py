"""The benchmark of training on checkpoints a thousandth of the size: every stage is measured, and its shares add up."""

import pytest

from benchmarks.training import Plan, Sizes, measure, read_flops, update_flops
from tests.training import tiny_checkpoints


def test_every_stage_is_measured(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    hears = tiny_checkpoints.write_audio(tmp_path_factory.mktemp("audio"))
    reads = tiny_checkpoints.write_llama(tmp_path_factory.mktemp("llama"))
    results = measure(hears, reads, Plan(2, 1, 2, 1.0, 4))
    assert [row[0] for row in results.rows] == ["SFT", "KD", "DPO"]
    for stage in ("sft", "kd", "dpo"):
        assert 0 < float(results.summary[f"{stage}_mfu"] or 0) < 1
        assert float(results.summary[f"{stage}_tokens_per_s"] or 0) > 0
    shares = [float(results.summary[f"kd_{part}_percent"] or 0) for part in ("rollout", "teacher", "update")]
    assert all(share > 0 for share in shares)
    assert sum(shares) == pytest.approx(100)


def test_what_an_update_needs() -> None:
    """Forward and back through frozen weights, and forward through the encoder: 4 x 10 x 7 and 2 x 3 x 5."""
    sizes = Sizes(decoder=10, encoder=3, encoder_positions=5, prompt_tokens=4, answer_tokens=9)
    assert update_flops(sizes, 3) == 310
    assert read_flops(sizes, 3) == 170
