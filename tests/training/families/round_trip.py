"""Families on their way from training through export into vLLM, in a process of their own and one after another: the
imports, half a minute, are paid for once.

    python -m tests.training.families.round_trip FOLDER NAME …

Writes FOLDER/NAME.json: a `Trip`, or {"error": …}.
"""

import asyncio
import gc
import json
import os
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from app.engine.base import GenerationFinished, GenerationRequest
from app.models.model_source import find_model
from app.settings import Settings
from tests.training.families.tiny_families import BUILDERS, teacher
from tests.training.tiny_checkpoints import noise, record
from training.__main__ import main
from training.data.audio import read_audio
from training.data.record import Record
from training.data.record_files import write_records
from training.families import family_of_folder
from training.kd.vllm_rollout import _audio_messages
from training.kd.weight_sync import copy_companions, write_weights
from training.models.checkpoint import open_model
from training.models.collate import build_collator

TOKENS = 16
SECONDS = {"qwen2_audio": (2.0, 7.03)}  # takes no more than a window
LONGER = (2.0, 31.07)


@dataclass
class Trip:
    """For each clip what is written: by Transformers before training, after, after without a sound; by vLLM after, and
    by the service's engine as long as nothing ends or holds a placeholder. reloaded: by vLLM once it was handed the
    weights from before training, as `--rollout` hands them. prompts: which forms of a question that `--rollout` sends
    give the prompt that is trained on.
    """

    before: list["Written"]
    after: list["Written"]
    silent: list["Written"]
    served: list["Written"]
    answered: list[list[int]]
    reloaded: list["Written"]
    prompts: list[list[bool]]


class Written(NamedTuple):
    """Greedy tokens, and the first one's log-probability."""

    ids: list[int]
    first: float


def trip(name: str, folder: Path) -> Trip:
    """Every stage and the export by the command line, each stage from where the one before it ended."""
    base, exported, data = folder / "base", folder / "exported", folder / "train.jsonl"
    base.mkdir(parents=True)
    BUILDERS[name](base)
    teacher(base, folder / "teacher")
    said = {"style": {"style": "headline"}, "chosen": "Anna called.", "rejected": "Bob is ill."}
    rows = [record(i, folder, noise(s, i), **said) for i, s in enumerate(SECONDS.get(name, LONGER))]
    write_records(data, rows)
    how = ["--base", str(base), "--data", str(data), "--batch", "2", "--rank", "4", "--gain-every", "0", "--rate"]
    adapters = {stage: str(folder / stage / "adapter.safetensors") for stage in ("sft", "distill", "dpo")}
    main(["sft", *how, "0.05", "--out", str(folder / "sft"), "--steps", "2"])
    more = ["0.01", "--steps", "1", "--start"]
    read = ["--teacher", str(folder / "teacher")]
    main(["distill", *how, *more, adapters["sft"], "--out", str(folder / "distill"), *read])
    main(["dpo", *how, *more, adapters["distill"], "--out", str(folder / "dpo")])
    main(["export", "--base", str(base), "--adapter", adapters["dpo"], "--folder-only", str(exported)])
    quiet = [record(10 + i, folder, 0 * read_audio(row)) for i, row in enumerate(rows)]
    before, after, silent = greedy(base, rows), greedy(exported, rows), greedy(exported, quiet)
    there, reloaded, prompts = served(exported, base, rows)
    return Trip(before, after, silent, there, asyncio.run(answered(exported, rows)), reloaded, prompts)


@torch.no_grad()
def greedy(folder: Path, rows: list[Record]) -> list[Written]:
    """Transformers' tokens, each recording alone."""
    model = open_model(folder).eval()
    model.generation_config.eos_token_id = None  # to the full length, as vLLM is told to
    collator: Any = build_collator(folder, model)
    out = []
    for row in rows:
        given = collator.collate_questions([row])
        # A placeholder that is written is read as nothing in particular, here and there.
        how = {"max_new_tokens": TOKENS, "do_sample": False, "suppress_tokens": collator.placeholder_ids}
        made = model.generate(**given, **how, output_logits=True, return_dict_in_generate=True)
        ids = made.sequences[0, given["input_ids"].shape[1] :].tolist()
        out.append(Written(ids, float(made.logits[0][0].log_softmax(-1)[ids[0]])))
    return out


def served(folder: Path, before: Path, rows: list[Record]) -> tuple[list[Written], list[Written], list[list[bool]]]:
    """vLLM's tokens, each recording alone, of the folder and then of `before`, whose weights it is handed; the prompts
    as the service words them, the samples as they are. And for each recording, of every form in which a question may be
    sent to a server, whether the prompt is the one that is trained on.
    """
    import vllm
    from vllm.distributed import cleanup_dist_env_and_memory

    family = family_of_folder(folder)
    processor, facts = family.processor(folder), family.serving_facts
    assert facts
    inputs: list[Any] = []
    for row in rows:
        samples, given = read_audio(row), {}
        if facts.uses_mistral_tokenizer:  # whose prompts are ids from the start
            given["prompt_token_ids"] = family.encode_question(processor, row.query, samples)[0]
        else:
            given["prompt"] = family.prompt(processor, row.query)
        inputs.append(given | {"multi_modal_data": {"audio": samples}})
    engine: Any = vllm.LLM(
        model=str(folder),
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        max_num_seqs=4,
        **{"limit_mm_per_prompt": {"audio": 1}} | facts.vllm_arguments,
    )
    unwritten = {family.placeholder_id(processor): -100.0}
    how = vllm.SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True, logit_bias=unwritten, logprobs=1)

    def generated(engine: Any) -> list[Written]:
        found = []
        for given in inputs:
            (piece,) = engine.generate([given], how, use_tqdm=False)[0].outputs
            ids = list(piece.token_ids)
            found.append(Written(ids, piece.logprobs[0][ids[0]].logprob))
        return found

    found = generated(engine)
    prompts = [[_same_prompt(engine, family, processor, row, form) for form in family.message_forms] for row in rows]
    with tempfile.TemporaryDirectory() as handed:
        copy_companions(before, Path(handed))
        write_weights(open_model(before), Path(handed), torch.float32)
        engine.collective_rpc("reload_weights", kwargs={"weights_path": handed})
        engine.reset_prefix_cache()
        engine.llm_engine.reset_encoder_cache()
        reloaded = generated(engine)
    engine.llm_engine.engine_core.shutdown()
    del engine
    cleanup_dist_env_and_memory()
    gc.collect()
    return found, reloaded, prompts


def _same_prompt(engine: Any, family: Any, processor: Any, row: Record, form: Any) -> bool:
    """Whether a server reads the prompt that is trained on when the question is sent in this form."""
    import vllm

    messages = _audio_messages(row, lambda query: form(processor, query))
    one = vllm.SamplingParams(temperature=0, max_tokens=1)
    try:
        (said,) = engine.chat(messages, one, use_tqdm=False)
    except Exception as error:  # a chat template that takes texts alone says so in its own way
        print(f"{family.model_type}: the form is refused: {error!r}"[:300])
        return False
    return list(said.prompt_token_ids) == family.encode_question(processor, row.query, read_audio(row))[0]


async def answered(folder: Path, rows: list[Record]) -> list[list[int]]:
    """Tokens of the engine that `speechsum serve --model FOLDER` runs; all recordings at once, then notes alone."""
    loadable = find_model(Settings(model_repo=folder.parent, engine={"context_tokens": 2048}), str(folder))
    assert loadable.info.max_seconds * loadable.info.sampling_rate >= max(len(read_audio(row)) for row in rows)
    engine = loadable.build_engine()

    async def ask(number: int, **material: Any) -> list[int]:
        request = GenerationRequest(request_id=str(number), max_tokens=TOKENS, **material)
        *_, last = [event async for event in engine.generate(request)]
        assert isinstance(last, GenerationFinished)
        return list(last.token_ids)

    await engine.start()
    try:
        heard = [{"samples": read_audio(row), "instruction": row.query} for row in rows]
        found = await asyncio.gather(*(ask(number, **one) for number, one in enumerate(heard)))
        assert await ask(99, samples=None, instruction="Summarize.", notes="[0:00:00]\nAnna called.")
        assert engine.count_tokens("Anna called.")
    finally:
        await engine.stop()
    family = family_of_folder(folder)
    place = family.placeholder_id(family.processor(folder))
    return [ids[: ids.index(place)] if place in ids else ids for ids in found]


if __name__ == "__main__":
    os.environ |= {
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TQDM_DISABLE": "1",
    }
    out = Path(sys.argv[1])
    for name in sys.argv[2:]:
        try:
            made = asdict(trip(name, out / name))
        except Exception:
            made = {"error": traceback.format_exc()}
        (out / f"{name}.json").write_text(json.dumps(made))
