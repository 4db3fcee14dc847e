"""A server's rollout: against a stand-in, and where it matters against a real vLLM too (marked slow)."""

import base64
import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
import torch
from transformers import AutoProcessor, AutoTokenizer

from model_repo.architectures import AUDIO_TOKEN_ID
from tests.training.kd.vllm_servers import Sampling, sampling_stand_in, vllm_server
from tests.training.tiny_checkpoints import noise, record, write_audio, write_llama
from training.__main__ import main
from training.data.audio import read_audio
from training.data.record import Record
from training.data.record_files import read_records, write_records
from training.facts.coverage import Fact
from training.kd.rollout import Answer, TransformersRollout, answer_logits, append_answers, collate_questions
from training.kd.vllm_rollout import RolloutError, VllmRollout, WeightSyncCallback, make_rollout, off_policy_gap
from training.models.checkpoint import add_lora, open_model
from training.models.collate import AudioCollator, TextCollator

ONE_HEAD = {"num_attention_heads": 1, "num_key_value_heads": 1}  # of 64: vLLM's attention on CPU knows none of 16
STEPS = 3  # the first is taken at rate 0, so only the third finds another student than the first


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audio(tmp_path_factory.mktemp("audio"), **ONE_HEAD)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    clips = tmp_path_factory.mktemp("clips")
    return [record(i, clips, noise(0.6 + 0.5 * i, i), "", style={"style": "headline"}) for i in range(4)]


@pytest.fixture(scope="module")
def hears(folder: Path) -> AudioCollator:
    return AudioCollator(AutoProcessor.from_pretrained(folder), AUDIO_TOKEN_ID)


@pytest.fixture(scope="module")
def stand_in(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Sampling]]:
    with sampling_stand_in(folder, tmp_path_factory.mktemp("stand-in") / "checkpoint") as found:
        yield found


@pytest.fixture
def behind(stand_in: tuple[str, Sampling]) -> Sampling:
    """The stand-in, as good as new."""
    found = stand_in[1]
    found.asked.clear()
    found.loaded, found.forgets, found.refuses, found.wrong = 0, True, {}, {}
    return found


@pytest.fixture(scope="module", params=["stand-in", pytest.param("vllm", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "stand-in":
        yield request.getfixturevalue("stand_in")[0]
        return
    with vllm_server(folder, tmp_path_factory.mktemp("vllm") / "log") as address:
        yield address


def student(folder: Path, learned: float = 0.0, seed: int = 3) -> Any:
    """With LoRA and projector `learned` away from where they begin."""
    model = add_lora(open_model(folder), 4).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(learned * torch.randn(parameter.shape, generator=draw))
    return model


def test_the_server_writes_what_the_student_would_and_follows_it(
    url: str, folder: Path, hears: AudioCollator, rows: list[Record], tmp_path: Path
) -> None:
    here, there = TransformersRollout(hears, 0, hears.placeholder_ids), make_rollout(hears, 0, url, tmp_path / "handed")
    assert isinstance(there, VllmRollout)
    texts = []
    for learned in (0.0, 0.05, 0.1):
        model = student(folder, learned)
        there.sync_weights(model)
        questions = collate_questions(hears, rows)
        answers = there.sample(model, rows, questions)
        texts.append([answer.ids for answer in answers])
        assert texts[-1] == [answer.ids for answer in here.sample(model, rows)]
        with torch.no_grad():
            logits = answer_logits(model, append_answers(questions, answers, 0), answers)
            other = answer_logits(student(folder, 0.1, 4), append_answers(questions, answers, 0), answers)
        assert off_policy_gap(logits, answers) == pytest.approx(0, abs=2e-3)
        assert (off_policy_gap(other, answers) or 0) > 0.1, "another student did not write this"
    assert all(before != after for before, after in pairwise(texts)), "each wrote something else"
    assert list((tmp_path / "handed").rglob("*.safetensors")) == [], "the weights are not left behind"


def run_distill(out: Path, folder: Path, twin: Path, data: Path, *more: object) -> list[dict[str, Any]]:
    """The log of some greedy steps."""
    command = ["distill", "--base", folder, "--teacher", twin, "--data", data, "--out", out, *more]
    how = f"--steps {STEPS} --batch 2 --rank 4 --gain-every 0 --rate 0.01 --temperature 0"
    assert main([*map(str, command), *how.split()]) == 0
    return list(json.loads((out / "log.json").read_text()))


def test_distilling_with_it_is_distilling_without(
    url: str, folder: Path, twin: Path, rows: list[Record], tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    write_records(data, rows)
    alone = run_distill(tmp_path / "here", folder, twin, data)
    head, *there = run_distill(tmp_path / "there", folder, twin, data, "--rollout", url)
    assert head["rollout"] == url
    for ours, theirs in zip(alone[1 : 1 + STEPS], there[:STEPS], strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
        assert theirs["answer_tokens"] == ours["answer_tokens"]
        assert theirs["off_policy"] < 2e-3
        assert "off_policy" not in ours


def test_the_log_says_when_an_older_student_wrote(
    stand_in: tuple[str, Sampling], behind: Sampling, folder: Path, twin: Path, rows: list[Record], tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    write_records(data, rows)
    log = run_distill(tmp_path / "run", folder, twin, data, "--rollout", stand_in[0], "--sync-every", STEPS)
    assert behind.loaded == 1
    assert log[1]["off_policy"] < 2e-3
    assert log[STEPS]["off_policy"] > 0.01


def test_weights_go_over_before_the_first_step_and_every_so_many_but_not_after_the_last() -> None:
    taken: list[int] = []
    state = SimpleNamespace(global_step=0, max_steps=6)
    rollout: Any = SimpleNamespace(take=lambda model: taken.append(state.global_step))
    follow = WeightSyncCallback(rollout, None, 2)
    follow.on_train_begin()
    for state.global_step in range(1, 7):
        follow.on_step_end(None, state, None)
    assert taken == [0, 2, 4]
    with pytest.raises(ValueError, match="--sync-every is 0"):
        WeightSyncCallback(rollout, None, 0)


def server_rollout(stand_in: tuple[str, Sampling], hears: AudioCollator, temperature: float = 0) -> Any:
    return make_rollout(hears, temperature, stand_in[0], None)


def test_what_is_asked_is_the_record_as_it_is_trained_on(
    stand_in: tuple[str, Sampling], behind: Sampling, folder: Path, hears: AudioCollator, rows: list[Record]
) -> None:
    torch.manual_seed(5)
    server_rollout(stand_in, hears, 0.7).sample(student(folder), rows[:2])
    assert behind.loaded == 1, "a student that was never handed over is, before it writes"
    by_length = sorted(behind.asked, key=lambda asked: len(str(asked)))
    for asked, row in zip(by_length, rows[:2], strict=True):
        audio, text = asked["messages"][-1]["content"]
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(audio["input_audio"]["data"])), dtype="float32")
        assert (rate, samples.tolist()) == (16_000, read_audio(row).tolist())
        assert text["text"] == row.query
        assert (asked["temperature"], asked["top_p"], asked["top_k"], asked["max_completion_tokens"]) == (0.7, 1, 0, 48)
        assert asked["logit_bias"] == {str(AUDIO_TOKEN_ID): -100}
    seeds = {asked["seed"] for asked in behind.asked}
    assert len(seeds) == 2
    behind.asked.clear()
    torch.manual_seed(5)
    server_rollout(stand_in, hears, 0.7).sample(student(folder), rows[:2])
    assert {asked["seed"] for asked in behind.asked} == seeds


def test_an_answer_goes_to_the_end_of_its_turn_with_what_is_known_of_it(
    stand_in: tuple[str, Sampling], behind: Sampling, folder: Path, hears: AudioCollator, rows: list[Record]
) -> None:
    likely = {"content": [{"logprob": value} for value in (-1.0, -2.0, -3.0)]}
    behind.wrong = {"choices": [{"token_ids": [11, 2, 12], "logprobs": likely}]}
    assert server_rollout(stand_in, hears).sample(student(folder), rows[:1]) == [Answer([11, 2], True, [-1.0, -2.0])]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"refuses": {"/collective_rpc": 404}}, "speechsum-train serve"),
        ({"refuses": {"/collective_rpc": 500}}, "collective_rpc answered 500"),
        ({"refuses": {"/v1/chat/completions": 400}}, "answered 400"),
        ({"forgets": False}, "could not clear its prefix cache"),
        ({"wrong": {"prompt_token_ids": None}}, "clip-0: .* no prompt_token_ids"),
        ({"wrong": {"prompt_token_ids": [1, 4, 9]}}, r"clip-0: the server read 3 prompt tokens, .* first at 1"),
        (
            {"wrong": {"choices": [{"token_ids": [11, AUDIO_TOKEN_ID]}]}},
            rf"clip-0: .* forbidden tokens \[{AUDIO_TOKEN_ID}\]",
        ),
        ({"wrong": {"choices": [{"token_ids": []}]}}, "clip-0: .* answered nothing"),
    ],
)
def test_what_goes_wrong_is_said(
    stand_in: tuple[str, Sampling],
    behind: Sampling,
    folder: Path,
    hears: AudioCollator,
    rows: list[Record],
    change: dict[str, Any],
    why: str,
) -> None:
    vars(behind).update(change)
    with pytest.raises(RolloutError, match=why):
        server_rollout(stand_in, hears).sample(student(folder), rows[:1])


def test_pairs_are_written_there_too(
    stand_in: tuple[str, Sampling], behind: Sampling, folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    ids = iter([tokenizer(text)["input_ids"] + [2] for text in ("Nobody wants anything.", "Anna wants pumps.")])

    def chat(body: dict[str, Any]) -> dict[str, Any]:
        said = Sampling.chat(behind, body)
        made = next(ids)
        return said | {"choices": [{"token_ids": made, "logprobs": {"content": [{"logprob": -1.0}] * len(made)}}]}

    behind.chat = chat  # type: ignore[method-assign]
    data, out = tmp_path / "data.jsonl", tmp_path / "pairs.jsonl"
    rows[0].facts = [Fact("who", "Anna", core=True)]
    write_records(data, rows[:1])
    command = ["pairs", "--base", folder, "--data", data, "--out", out, "--rollout", stand_in[0]]
    command += ["--samples", 2, "--rank", 2]
    try:
        assert main([*map(str, command)]) == 0
    finally:
        del behind.chat  # type: ignore[method-assign]
    (pair,) = read_records(out)
    assert (pair.chosen, pair.rejected) == ("Anna wants pumps.", "Nobody wants anything.")
    assert (behind.loaded, [asked["temperature"] for asked in behind.asked]) == (1, [1.0, 1.0])


def test_only_students_that_hear_have_one(twin: Path) -> None:
    reads = TextCollator(AutoTokenizer.from_pretrained(twin))
    with pytest.raises(ValueError, match="audio models only"):
        make_rollout(reads, 0, "http://127.0.0.1:9", None)
