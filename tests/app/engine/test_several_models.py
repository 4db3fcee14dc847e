"""Two checkpoints in vLLM in one process, and adapters on one of them, on random weights of the real shape.

The registry's own models take minutes and gigabytes each: these are a thousandth of their size.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from app.core.errors import Unprocessable
from app.core.prompts import Style, audio_messages, instruction
from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import Adapter, GenerationFinished, GenerationRequest
from app.engine.vllm_in_process import VllmChatModel
from app.settings import AdapterSettings, EngineSettings

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.asyncio(loop_scope="module"),
]

NOISE = np.random.default_rng(0).normal(0, 0.05, 2 * 16_000).astype(np.float32)
PROMPT = instruction(Style())
TOKENS = 24
RANK = 4
# vLLM's attention on a CPU wants heads of 32 and more
WIDE = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.training.tiny_checkpoints import write_audio

    return write_audio(tmp_path_factory.mktemp("checkpoint") / "tiny", **WIDE)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.training.tiny_checkpoints import write_audio

    return write_audio(tmp_path_factory.mktemp("other") / "tiny", **WIDE, num_hidden_layers=3)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(checkpoint: Path) -> AsyncIterator[AudioLlmEngine]:
    made = engine_of(checkpoint, "tiny@1", AdapterSettings(rank=RANK))
    await made.start()
    yield made
    await made.stop()


def engine_of(folder: Path, name: str, adapters: AdapterSettings | None = None) -> AudioLlmEngine:
    settings = EngineSettings(max_num_seqs=4)
    return AudioLlmEngine(VllmChatModel(folder, 2048, settings, audio=True, name=name, adapters=adapters))


async def tokens(engine: AudioLlmEngine, name: str, adapter: Adapter | None = None) -> list[int]:
    last: Any = None
    async for event in engine.generate(GenerationRequest(name, NOISE, PROMPT, TOKENS, adapter=adapter)):
        last = event
    assert isinstance(last, GenerationFinished)
    return list(last.token_ids)


def transformers_tokens(model: Any, folder: Path) -> list[int]:
    """The model's greedy tokens, as Transformers writes them."""
    import torch
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    prompt = processor.apply_chat_template(audio_messages(PROMPT), tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[prompt], audio=[NOISE])
    with torch.inference_mode():
        ids = model.eval().generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return [int(token) for token in ids[0, inputs["input_ids"].shape[1] :]]


def saved_adapter(checkpoint: Path, folder: Path, seed: int, rank: int = RANK) -> list[int]:
    """A random adapter on the language model, saved by PEFT; the tokens of the same weights merged."""
    import torch

    from training.models.checkpoint import add_lora, open_model

    torch.manual_seed(seed)
    model = add_lora(open_model(checkpoint), rank)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    merged: Any = model.merge_and_unload()
    return transformers_tokens(merged, checkpoint)


async def test_an_adapter_writes_what_the_merged_weights_write(
    engine: AudioLlmEngine, checkpoint: Path, tmp_path: Path
) -> None:
    from training.models.checkpoint import open_model

    plain = transformers_tokens(open_model(checkpoint), checkpoint)
    merged = [saved_adapter(checkpoint, tmp_path / str(seed), seed) for seed in (1, 2)]
    assert len({tuple(one) for one in [plain, *merged]}) == 3, "each writes something else"
    adapters = [Adapter(f"adapter-{seed}", seed, tmp_path / str(seed)) for seed in (1, 2)]
    for adapter in adapters:
        await engine.add_adapter(adapter)
    alone = [await tokens(engine, f"alone-{adapter.load_id}", adapter) for adapter in adapters]
    assert alone == merged
    among = await asyncio.gather(
        *(tokens(engine, f"among-{number}", adapter) for number, adapter in enumerate([None, *adapters, None]))
    )
    assert among == [plain, *merged, plain], "side by side in one batch"
    for adapter in adapters:
        await engine.remove_adapter(adapter)
    assert await tokens(engine, "after") == plain


async def test_an_adapter_that_takes_anothers_name_is_not_given_its_cached_prompt(
    engine: AudioLlmEngine, checkpoint: Path, tmp_path: Path
) -> None:
    written = []
    for seed in (3, 4):
        merged = saved_adapter(checkpoint, tmp_path / str(seed), seed)
        adapter = Adapter("same", seed, tmp_path / str(seed))
        await engine.add_adapter(adapter)
        written.append(await tokens(engine, f"same-{seed}", adapter))
        assert written[-1] == merged
    assert written[0] != written[1]


async def test_what_vllm_cannot_serve_is_refused_and_the_engine_goes_on(
    engine: AudioLlmEngine, checkpoint: Path, tmp_path: Path
) -> None:
    saved_adapter(checkpoint, tmp_path / "wide", 5, rank=12)  # vLLM makes room for 8 where 4 is asked for
    with pytest.raises(Unprocessable, match="SPEECHSUM_ADAPTERS__RANK"):
        await engine.add_adapter(Adapter("wide", 50, tmp_path / "wide"))
    saved_adapter(checkpoint, tmp_path / "dora", 6)
    config = tmp_path / "dora" / "adapter_config.json"
    config.write_text(config.read_text().replace('"use_dora": false', '"use_dora": true'))
    with pytest.raises(Unprocessable, match="DoRA"):
        await engine.add_adapter(Adapter("dora", 51, tmp_path / "dora"))
    await engine.check_health()
    assert await tokens(engine, "still")


async def test_two_models_answer_side_by_side_and_one_ends_without_the_other(
    engine: AudioLlmEngine, checkpoint: Path, other: Path
) -> None:
    from training.models.checkpoint import open_model

    expected = [transformers_tokens(open_model(folder), folder) for folder in (checkpoint, other)]
    second = engine_of(other, "tiny@2")
    await second.start()
    got = await asyncio.gather(*(tokens(one, f"{n}") for n in range(3) for one in (engine, second)))
    assert got == expected * 3
    shown = generate_latest().decode()
    assert all(f'vllm:prompt_tokens_total{{engine="0",model_name="tiny@{n}"}}' in shown for n in (1, 2))
    longest = await longest_pause(second.stop())
    assert longest < 0.5, "who asks the other model does not wait for this one's process to end"
    assert await tokens(engine, "after it") == expected[0]
    assert 'model_name="tiny@2"' not in generate_latest().decode()


async def longest_pause(work: Any) -> float:
    """The longest time in which the event loop did nothing else, while the work was done."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - began)

    ticking = asyncio.create_task(tick())
    await work
    ticking.cancel()
    return longest
