"""What can be evaluated: anything that answers records with summaries.

    service:URL          a running speechsum, posted the recordings, whatever it serves (a model that hears, a cascade)
    hears:FOLDER         a checkpoint that hears, here, by Transformers' generate
    reads:FOLDER         a text model, here, given the true transcripts
    endpoint:URL#MODEL   any OpenAI-compatible endpoint, given the true transcripts (key: OPENAI_API_KEY)
    reference            the data's own summaries

All answer greedily, in the words of `app.prompts`, within the tokens that the style allows. Knows nothing about scores.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from app.prompts import transcript_messages
from training.checkpoint import architecture_of, open_model
from training.corpus.record import Record
from training.endpoint import TIMEOUT_S, endpoint
from training.kd.rollout import Generated, answer_limit
from training.loop import collator_of

ARCHITECTURES = {"hears": "audioflamingo3", "reads": "llama"}


class UnknownSystem(ValueError):
    """A system cannot be had; the message says which and why."""


@dataclass(frozen=True)
class System:
    """A name for the table, what it is, and how it answers."""

    name: str
    kind: str
    answers: Callable[[Sequence[Record]], list[str]]


def system_of(spec: str, batch: int = 8) -> System:
    """`NAME=KIND:WHERE`, or without the name. Raises `UnknownSystem` for one that is not known or not there."""
    name, named, what = spec.partition("=")
    if not named:
        name, what = spec, spec
    kind, _, where = what.partition(":")
    if kind == "reference":
        return System(name, kind, lambda records: [record.summary for record in records])
    if not where:
        raise UnknownSystem(
            f"{spec!r} says not where: NAME=service:URL, hears:FOLDER, reads:FOLDER, endpoint:URL#MODEL"
        )
    if kind == "service":
        return System(name, kind, lambda records: [a["summary"] for a in asyncio.run(posted(where, records, batch))])
    if kind in ARCHITECTURES:
        return System(name, kind, lambda records: generated(Path(where), ARCHITECTURES[kind], records, batch))
    if kind == "endpoint":
        return System(name, kind, lambda records: asked(where, records, batch))
    raise UnknownSystem(f"{spec!r}: {kind!r} is none of service, hears, reads, endpoint, reference")


async def posted(url: str, records: Sequence[Record], at_once: int) -> list[dict[str, Any]]:
    """A running service's JSON answers, in the order of the records; at most `at_once` requests are open."""
    gate = asyncio.Semaphore(at_once)

    async def ask(client: httpx.AsyncClient, record: Record) -> dict[str, Any]:
        async with gate:
            audio = await asyncio.to_thread(Path(str(record.audio)).read_bytes)
            fields = {key: str(value) for key, value in record.style.items()}
            answer = await client.post("/v1/audio/summaries", files={"file": audio}, data=fields)
        if answer.status_code != 200:
            raise RuntimeError(f"{record.id}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        return await asyncio.gather(*(ask(client, record) for record in records))


def opened(folder: Path, architecture: str) -> Any:
    """The checkpoint, on the GPU if there is one. Raises `UnknownSystem` if it is of another architecture."""
    model = open_model(folder)
    if architecture_of(model) != architecture:
        raise UnknownSystem(f"{folder} is {architecture_of(model)}, not {architecture}")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def generated(folder: Path, architecture: str, records: Sequence[Record], batch: int) -> list[str]:
    """Greedy answers of a checkpoint, here."""
    model = opened(folder, architecture)
    return written(model, collator_of(folder, model), records, batch)


def written(model: Any, collator: Any, records: Sequence[Record], batch: int) -> list[str]:
    """Greedy answers of a model that is open."""
    writer, out = Generated(collator, temperature=0, forbidden=collator.placeholders), []
    for start in range(0, len(records), batch):
        for answer in writer.sample(model, records[start : start + batch]):
            out.append(collator.text(answer.ids))
    return out


def asked(where: str, records: Sequence[Record], at_once: int) -> list[str]:
    """An endpoint's answers to the true transcripts. where: URL#MODEL."""
    client, name = endpoint(where)

    def ask(record: Record) -> str:
        messages: Any = transcript_messages(record.query, record.transcript)
        answer = client.chat.completions.create(
            model=name, messages=messages, temperature=0, max_tokens=answer_limit(record)
        )
        return (answer.choices[0].message.content or "").strip()

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(ask, records))
