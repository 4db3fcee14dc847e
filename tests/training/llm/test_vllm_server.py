"""Synthesis and judge against a real vLLM server of the real SmolLM2: what a stand-in cannot show."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from training.__main__ import main
from training.data.record import Record
from training.data.record_files import read_records, write_records
from training.llm.endpoint import open_endpoint
from training.llm.judge import FLIP, Judge, Verdict
from training.llm.transcript_summaries import Importance, Wishes
from training.synth.text import generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # a minute or two on a core of its own

CONTEXT = 2048


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, log = tmp_path_factory.mktemp("smol") / "model", tmp_path_factory.mktemp("vllm") / "log"
    assert main(["export", "--architecture", "llama", "--folder-only", str(folder)]) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    where = ["--model", folder, "--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", port]
    how = ["--dtype", "float32", "--enforce-eager", "--max-model-len", CONTEXT, "--max-num-seqs", 8]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *where, *how]
    with log.open("w") as out:
        process = subprocess.Popen([str(c) for c in command], env=environment, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 900
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def told() -> list[Record]:
    return list(generate(3, 3, "train", max_words=60))


def test_queries_and_summaries_are_asked_for_once_and_all_that_comes_is_counted(
    server: str, told: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = replace(told[0], id="endless", transcript="On and on it goes. " * CONTEXT)
    write_records(tmp_path / "mine.jsonl", [*told, endless])
    out = tmp_path / "train.jsonl"
    command = ["data", "synthesize", "--records", str(tmp_path / "mine.jsonl"), "--out", str(out), "--url", server]
    command += ["--wishes", "2", "--importance", "1", "--adherence", "1", "--per-minute", "600"]
    command += ["--prompt-price", "2", "--completion-price", "10"]
    status = main(command)
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert status == (0 if report["made"] else 1)
    assert (report["model"], report["recordings"]) == ("smollm2", 4)
    assert report["dropped"]["refused"] == 1, "longer than the model's context"
    assert "endless: the endpoint refuses: " in capsys.readouterr().out
    answers = [json.loads(line) for line in out.with_suffix(".answers.jsonl").read_text().splitlines()]
    assert report["asked"] == len(answers) >= 4, "wishes of three recordings, and what follows from them"
    assert report["prompt_tokens"] > report["asked"] * 50
    assert report["completion_tokens"] >= report["asked"]
    price = (report["prompt_tokens"] * 2 + report["completion_tokens"] * 10) / 1e6
    assert report["cost"] == pytest.approx(price, abs=1e-4)
    # What was held to a shape has it, or met its limit of tokens: vLLM keeps to the schema, bounds of numbers included.
    shapes = {'"wishes"': Wishes, '"importance"': Importance, '"overall"': Verdict}
    seen = set()
    for answer in answers:
        for key, shape in shapes.items():
            if answer["answer"].lstrip("{ \n").startswith(key):
                seen.add(key)
                try:
                    shape.model_validate_json(answer["answer"])
                except ValidationError:
                    assert not answer["ended"], answer
    assert {'"wishes"', '"importance"'} <= seen
    made = read_records(out)
    assert len(made) == report["made"]
    assert all(row.query and row.summary and row.style for row in made)
    lost = sum(report["dropped"].values())
    assert sum(report["drop_rate"].values()) == pytest.approx(lost / (lost + len(made)), abs=1e-2)
    # Started again it asks nothing but what was refused, and makes the same.
    main(command)
    again = json.loads(out.with_suffix(".report.json").read_text())
    assert (again["asked"], again["kept"]) == (0, report["asked"])
    assert (again["made"], again["dropped"], read_records(out)) == (report["made"], report["dropped"], made)


def test_the_judge_gives_a_verdict_on_every_summary(server: str, told: list[Record]) -> None:
    client, name = open_endpoint(server)
    judge = Judge(client, name)
    assert judge.model == "smollm2"
    found = judge.grade(told, [row.summary for row in told])
    assert [type(verdict) for verdict in found] == [Verdict] * 3
    assert found == judge.grade(told, [row.summary for row in told]), "greedy: the same grades twice"
    (preferred,) = judge.compare_pairs([(told[0], told[0].summary, "No.")])
    assert isinstance(preferred, float) or preferred == FLIP, "both orders could be read"
