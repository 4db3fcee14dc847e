import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.core.prompts import SYSTEM_PROMPT
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import serving
from tests.recordings import speech_wav
from tests.training.kd.vllm_servers import sampling_stand_in
from tests.training.llm.fake_llm_server import StandIn, standing_in
from tests.training.tiny_checkpoints import RATE, noise, record, write_qwen2
from training.data.audio import read_audio
from training.data.record import Record
from training.eval import systems
from training.eval.earlier_results import UnknownSystem
from training.eval.systems import AnswerSettings, open_checkpoint, parse_system
from training.models.collate import AudioCollator


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder, short = tmp_path_factory.mktemp("clips"), {"style": "headline"}
    return [record(i, folder, noise(0.5 + 0.7 * i, i), f"Caller {i} wants {i} pumps.", style=short) for i in range(3)]


def test_an_earlier_result_is_taken_as_it_is(rows: list[Record], tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    answered = [{"id": row.id, "summary": f"About {row.id}."} for row in reversed(rows)]
    file.write_text(json.dumps({"systems": [{"system": "SFT, KD", "kind": "hears", "rows": answered}]}))
    system = parse_system(f"before=kept:{file}#SFT, KD")
    assert (system.name, system.kind) == ("before", "hears")
    assert system.answers(rows[:2]) == [f"About {row.id}." for row in rows[:2]]
    with pytest.raises(UnknownSystem, match="no answer of 'SFT, KD' to never-heard"):
        system.answers([replace(rows[0], id="never-heard")])
    with pytest.raises(UnknownSystem, match="no system 'DPO'"):
        parse_system(f"kept:{file}#DPO")
    file.write_text("{}")
    with pytest.raises(UnknownSystem, match="is not a result"):
        parse_system(f"kept:{file}#SFT, KD")


@pytest.mark.parametrize("kind", ["hears", "reads"])
def test_a_checkpoint_answers_here_whatever_the_batch(
    kind: str, audio_folder: Path, llama_folder: Path, rows: list[Record]
) -> None:
    folder = {"hears": audio_folder, "reads": llama_folder}[kind]
    told = [replace(row, transcript=f"Caller {i} wants pumps.") for i, row in enumerate(rows)]
    together = parse_system(f"x={kind}:{folder}", AnswerSettings(3)).answers(told)
    assert together == parse_system(f"x={kind}:{folder}", AnswerSettings(1)).answers(told)
    if kind == "hears":  # the small text model says the same of everything
        assert len(set(together)) > 1, "other material, another answer"


def test_an_answer_is_cut_where_its_own_style_ends(audio_folder: Path, rows: list[Record]) -> None:
    longer = replace(rows[0], style={"style": "tldr"})
    headline, tldr = parse_system(f"hears:{audio_folder}", AnswerSettings(2)).answers([rows[0], longer])
    assert tldr.startswith(headline[:-4]), "the same prompt, the same words"
    assert len(headline) < len(tldr), "48 tokens beside 128"


def test_on_a_server_each_answers_with_its_own_weights(
    audio_folder: Path, llama_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(audio_folder, other)
    tensors = load_file(other / "model.safetensors")
    save_file({name: value.flip(0) if "projector" in name else value for name, value in tensors.items()},
              other / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    systems = [f"hears:{audio_folder}", f"hears:{other}", f"silent:{audio_folder}", f"reads:{llama_folder}"]
    with sampling_stand_in(audio_folder, tmp_path / "served") as (url, behind):
        there = [parse_system(spec, AnswerSettings(2, url)).answers(rows) for spec in systems]
        assert (behind.loaded, len(behind.asked)) == (3, 9), "what reads is not asked there"
    assert there == [parse_system(spec, AnswerSettings(2)).answers(rows) for spec in systems]
    assert there[0] != there[1]


def test_the_other_architecture_is_refused(audio_folder: Path, rows: list[Record]) -> None:
    with pytest.raises(UnknownSystem, match="is audioflamingo3, which hears"):
        open_checkpoint(audio_folder, hears=False)
    with pytest.raises(UnknownSystem, match="is audioflamingo3, which hears"):
        parse_system(f"reads:{audio_folder}").answers(rows)


async def test_a_running_service_answers_over_http(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(speech_wav())
    row = record(1, tmp_path, audio=str(tmp_path / "clip.wav"), style={"style": "bullets"})
    async with serving(ScriptedEngine(["Anna ", "called."]), real_audio=True) as site:
        system = parse_system(f"tiny=service:http://127.0.0.1:{site.port}")
        assert await asyncio.to_thread(system.answers, [row, row]) == ["Anna called."] * 2
    assert (system.name, system.kind) == ("tiny", "service")


def test_the_reference_is_the_datas_own(rows: list[Record]) -> None:
    assert parse_system("reference").answers(rows) == [row.summary for row in rows]


@pytest.mark.parametrize("kind", ["silent", "shuffled"])
def test_without_the_right_audio_the_answers_are_others(
    kind: str, audio_folder: Path, rows: list[Record], hears: AudioCollator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[torch.Tensor] = []

    def listening(folder: Path, architecture: str) -> Any:
        model = open_checkpoint(folder, architecture)
        model.get_submodule("model.audio_tower").register_forward_pre_hook(
            lambda _, given, named: reached.append(given[0] if given else named["input_features"]), with_kwargs=True
        )
        return model

    own = parse_system(f"hears:{audio_folder}", AnswerSettings(1)).answers(rows)
    monkeypatch.setattr(systems, "open_checkpoint", listening)
    system = parse_system(f"x={kind}:{audio_folder}", AnswerSettings(1))
    other = system.answers(rows)
    assert (system.name, system.kind) == ("x", kind)
    assert all(a != b for a, b in zip(own, other, strict=True)), "the audio decides what this model says"
    if kind == "silent":
        meant = [np.zeros(round((0.5 + 0.7 * i) * RATE), np.float32) for i in range(3)]
    else:
        meant = [read_audio(rows[i]) for i in (1, 2, 0)]
    for features, samples, row in zip(reached, meant, rows, strict=True):
        given = hears.processor(text=[hears.prompt(row)], audio=[samples])
        torch.testing.assert_close(features, given["input_features"].to(features.dtype), rtol=0, atol=0)


def test_a_cascade_answers_what_was_heard_and_nothing_where_nothing_was(
    rows: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_qwen2(tmp_path / "reader")  # its output is not its embedding, so that it repeats no line break
    whispers: list[Path | None] = []

    async def heard(records: list[Record], whisper: Path | None) -> list[Record]:
        whispers.append(whisper)
        return [replace(r, transcript="" if i == 1 else f"Caller {i} wants a pump.") for i, r in enumerate(records)]

    monkeypatch.setattr(systems, "transcribe", heard)
    read = [
        replace(rows[0], transcript="Caller 0 wants a pump."),
        replace(rows[2], transcript="Caller 2 wants a pump."),
    ]
    first, last = parse_system(f"reads:{folder}").answers(read)
    system = parse_system(f"cascade:{folder}")
    assert system.answers(rows) == [first, "", last]
    assert first
    assert system.kind == "cascade"
    parse_system(f"cascade:some/whisper#{folder}").answers(rows)
    assert whispers == [None, Path("some/whisper")]


@pytest.mark.parametrize("spec", ["tiny", "tiny=hears", "x=oracle:here", "x=service:", "x=cascade:"])
def test_what_is_no_system_is_named(spec: str) -> None:
    with pytest.raises(UnknownSystem, match=spec):
        parse_system(spec)


@pytest.fixture
def big() -> Iterator[StandIn]:
    with standing_in(lambda asked: f" Heard: {asked['messages'][-1]['content'][:60]} ") as model:
        yield model


@pytest.mark.parametrize("name", ["", "#other"])
def test_an_endpoint_reads_the_transcript_and_is_asked_greedily(big: StandIn, name: str, rows: list[Record]) -> None:
    told = [replace(row, transcript=f"Caller {i} here.") for i, row in enumerate(rows)]
    answers = parse_system(f"big=endpoint:{big.url}{name}").answers(told)
    assert [f"Caller {i} here." in answer for i, answer in enumerate(answers)] == [True] * 3
    first = next(asked for asked in big.asked if "Caller 0" in asked["messages"][1]["content"])
    assert (first["model"], first["temperature"], first["max_tokens"]) == (name[1:] or "big", 0, 48)
    assert first["messages"][0] == {"role": "system", "content": SYSTEM_PROMPT}
    assert rows[0].query in first["messages"][1]["content"]


def test_the_key_is_the_environments(big: StandIn, rows: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    systems.endpoint_summaries(f"{big.url}#big", rows[:1], 1)
    assert big.keys == ["Bearer secret"]
