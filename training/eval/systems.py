"""What can be evaluated: anything that answers records with summaries.

    service:URL          a running speechsum, posted the recordings, whatever it serves (a model that hears, a cascade)
    hears:FOLDER         a checkpoint that hears, here, by Transformers' generate
    reads:FOLDER         a text model, here, given the true transcripts
    endpoint:URL#MODEL   any OpenAI-compatible endpoint, given the true transcripts (key: OPENAI_API_KEY)
    cascade:FOLDER       a text model, here, given what Whisper heard; cascade:WHISPER#FOLDER for another Whisper, a
                         folder in CTranslate2's format, than the service's own
    silent:FOLDER        a checkpoint that hears, given silence as long as each recording
    shuffled:FOLDER      a checkpoint that hears, given another recording each time
    reference            the data's own summaries
    kept:RESULT#SYSTEM   what a system answered in an earlier result over the same records, counted anew

Silence and another's recording are no rivals but checks: a model that listens is at a loss there. All answer greedily,
in the words of `app.core.prompts`, within the tokens that the style allows. With a vLLM server (`speechsum-train
serve`) to answer on, checkpoints that hear do so there, one after another, and it is given the weights of each. Knows
nothing about scores.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from app.core.prompts import transcript_messages
from training.data.answer_limit import answer_limit
from training.data.audio import audio_file_bytes
from training.data.record import Record
from training.eval.ablations import ABLATIONS
from training.eval.transcribe import transcribe
from training.families import family_by_model_type
from training.kd.vllm_rollout import VllmRollout, make_rollout
from training.llm.endpoint import TIMEOUT_S, open_endpoint
from training.models.checkpoint import model_type_of, open_model
from training.models.collate import build_collator

LOCAL_KINDS = {"hears": True, "reads": False}


class UnknownSystem(ValueError):
    """A system cannot be had; the message says which and why."""


@dataclass(frozen=True)
class System:
    """A name for the table, what it is, and how it answers."""

    name: str
    kind: str
    answers: Callable[[Sequence[Record]], list[str]]


@dataclass(frozen=True)
class AnswerSettings:
    """How systems answer. batch: records at once, here or of a service. rollout: address of a vLLM server for those
    that hear. rollout_folder: in which it is given their weights.
    """

    batch: int = 8
    rollout: str | None = None
    rollout_folder: Path | None = None


def parse_system(spec: str, means: AnswerSettings | None = None) -> System:
    """`NAME=KIND:WHERE`, or without the name. Raises `UnknownSystem` for one that is not known or not there."""
    means = means or AnswerSettings()
    name, named, what = spec.partition("=")
    if not named:
        name, what = spec, spec
    kind, _, where = what.partition(":")
    if kind == "reference":
        return System(name, kind, lambda records: [record.summary for record in records])
    if not where:
        raise UnknownSystem(
            f"{spec!r} says not where: NAME=service:URL, endpoint:URL#MODEL, cascade:FOLDER, or hears, reads, silent, "
            "shuffled and a FOLDER"
        )
    if kind == "kept":
        return earlier_system(name, where)
    if kind == "service":
        return System(name, kind, lambda records: service_summaries(where, records, means.batch))
    if kind in LOCAL_KINDS:
        return System(name, kind, lambda records: checkpoint_summaries(Path(where), LOCAL_KINDS[kind], records, means))
    if kind == "endpoint":
        return System(name, kind, lambda records: endpoint_summaries(where, records, means.batch))
    if kind == "cascade":
        whisper, _, folder = where.rpartition("#")
        return System(
            name,
            kind,
            lambda records: cascade_summaries(Path(whisper) if whisper else None, Path(folder), records, means),
        )
    if kind in ABLATIONS:
        return System(name, kind, lambda records: ablation_summaries(Path(where), kind, records, means))
    known = ("service", *LOCAL_KINDS, "endpoint", "cascade", *ABLATIONS, "reference", "kept")
    raise UnknownSystem(f"{spec!r}: {kind!r} is none of {', '.join(known)}")


def read_earlier_system(where: str) -> dict[str, Any]:
    """What `evaluate --system … --out RESULT` kept of a system, RESULT#SYSTEM: `kind`, `figures` and `rows`. Raises
    `UnknownSystem`.
    """
    file, _, system = where.partition("#")
    try:
        result = json.loads(Path(file).read_text())
        found: dict[str, Any] | None = next((one for one in result["systems"] if one["system"] == system), None)
    except (OSError, ValueError, KeyError) as error:
        raise UnknownSystem(f"{file} is no result of `evaluate --system`: {error!r}") from None
    if found is None:
        raise UnknownSystem(f"{file} has no system {system!r}; it has {[one['system'] for one in result['systems']]}")
    return found


def earlier_system(name: str, where: str) -> System:
    """A system of an earlier result: its kind and its answers. Raises `UnknownSystem`."""
    found = read_earlier_system(where)
    file, _, system = where.partition("#")
    answers = {row["id"]: row["summary"] for row in found["rows"]}

    def summaries(records: Sequence[Record]) -> list[str]:
        if missing := [record.id for record in records if record.id not in answers]:
            raise UnknownSystem(f"{file} holds no answer of {system!r} to {', '.join(missing[:3])}")
        return [answers[record.id] for record in records]

    return System(name, found["kind"], summaries)


async def post_records(url: str, records: Sequence[Record], concurrency: int) -> list[dict[str, Any]]:
    """A running service's JSON answers, in the order of the records; at most `at_once` requests are open."""
    gate = asyncio.Semaphore(concurrency)

    async def ask(client: httpx.AsyncClient, record: Record) -> dict[str, Any]:
        async with gate:
            audio = await asyncio.to_thread(audio_file_bytes, record)
            # A service is asked by style; a query that is in nobody's style is what it calls instructions.
            style = {"instructions": record.query} if record.style is None else record.style
            fields = {key: str(value) for key, value in style.items()}
            answer = await client.post("/v1/audio/summaries", files={"file": audio}, data=fields)
        if answer.status_code != 200:
            raise RuntimeError(f"{record.id}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        return await asyncio.gather(*(ask(client, record) for record in records))


def service_summaries(url: str, records: Sequence[Record], concurrency: int) -> list[str]:
    """A running service's summaries."""
    return [answer["summary"] for answer in asyncio.run(post_records(url, records, concurrency))]


def open_checkpoint(folder: Path, hears: bool) -> Any:
    """The checkpoint, on the GPU if there is one. Raises `UnknownSystem` if it hears and should not, or the reverse."""
    model = open_model(folder)
    if family_by_model_type(architecture := model_type_of(model)).takes_audio != hears:
        raise UnknownSystem(f"{folder} is {architecture}, which {'reads' if hears else 'hears'}")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def checkpoint_summaries(folder: Path, hears: bool, records: Sequence[Record], means: AnswerSettings) -> list[str]:
    """Greedy answers of a checkpoint: here, or on the server if it hears."""
    model = open_checkpoint(folder, hears)
    return model_summaries(model, build_collator(folder, model), records, means)


def model_summaries(model: Any, collator: Any, records: Sequence[Record], means: AnswerSettings) -> list[str]:
    """Greedy answers of a model that is open."""
    writer = make_rollout(collator, 0, means.rollout if collator.takes_audio else None, means.rollout_folder)
    # A server makes batches of its own out of all that is open.
    batch, out = max(1, len(records)) if isinstance(writer, VllmRollout) else means.batch, []
    for start in range(0, len(records), batch):
        for answer in writer.sample(model, records[start : start + batch]):
            out.append(collator.decode_answer(answer.ids))
    return out


def cascade_summaries(
    whisper: Path | None, folder: Path, records: Sequence[Record], means: AnswerSettings
) -> list[str]:
    """Greedy answers of a text model to what Whisper heard; none where it heard nothing, as in the service."""
    model = open_checkpoint(folder, hears=False)
    told = asyncio.run(transcribe(records, whisper))
    answers = iter(
        model_summaries(model, build_collator(folder, model), [row for row in told if row.transcript], means)
    )
    return [next(answers) if row.transcript else "" for row in told]


def ablation_summaries(folder: Path, how: str, records: Sequence[Record], means: AnswerSettings) -> list[str]:
    """Greedy answers of a checkpoint that is given other audio than the right one."""
    with ABLATIONS[how](records) as changed:
        return checkpoint_summaries(folder, True, changed, means)


def endpoint_summaries(where: str, records: Sequence[Record], concurrency: int) -> list[str]:
    """An endpoint's answers to the true transcripts. where: URL#MODEL."""
    client, name = open_endpoint(where)

    def ask(record: Record) -> str:
        messages: Any = transcript_messages(record.query, record.transcript)
        answer = client.chat.completions.create(
            model=name, messages=messages, temperature=0, max_tokens=answer_limit(record)
        )
        return (answer.choices[0].message.content or "").strip()

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(ask, records))
