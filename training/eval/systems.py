"""The systems that can be evaluated: anything that answers records with summaries.

    service:URL          a running speechsum service, which is sent the recordings, whatever model it serves
    hears:FOLDER         a checkpoint that takes audio, in this process, with Transformers' generate
    reads:FOLDER         a text model, in this process, which reads the true transcripts
    endpoint:URL#MODEL   any OpenAI-compatible endpoint, which reads the true transcripts (key: OPENAI_API_KEY)
    cascade:FOLDER       a text model, in this process, which reads Whisper's transcripts; cascade:WHISPER#FOLDER takes
                         another Whisper (a folder in CTranslate2's format) than the service's own
    silent:FOLDER        a checkpoint that takes audio, which gets silence of the length of each recording
    shuffled:FOLDER      a checkpoint that takes audio, which gets another recording each time
    reference            the summaries of the data itself
    kept:RESULT#SYSTEM   the answers of a system in an earlier result over the same records, scored again

`silent` and `shuffled` are checks and not competitors: a model that listens must do badly there. All systems answer
greedily, with the prompts of `app.core.prompts`, within the tokens that the style allows. With the address of a vLLM
server (`speechsum-train serve`), checkpoints that take audio answer there, one after another; the server is given the
weights of each. Knows nothing about scores.
"""

import asyncio
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
from training.eval.earlier_results import UnknownSystem, read_earlier_system
from training.eval.section_answers import answer_in_sections
from training.eval.transcribe import transcribe
from training.families import family_by_model_type
from training.kd.vllm_rollout import VllmRollout, make_rollout
from training.llm.endpoint import TIMEOUT_S, open_endpoint
from training.models.checkpoint import model_type_of, open_model
from training.models.collate import build_collator

LOCAL_KINDS = {"hears": True, "reads": False}


@dataclass(frozen=True)
class System:
    """A system: its name in the table, its kind, and the function that answers records with summaries."""

    name: str
    kind: str
    answers: Callable[[Sequence[Record]], list[str]]


@dataclass(frozen=True)
class AnswerSettings:
    """How systems answer.

    batch: records that are answered at the same time, in this process or by a service. rollout: the address of a vLLM
    server for checkpoints that take audio. rollout_folder: a folder that the server shares, for the weights.
    section_tokens: tokens of a section, for text models in this process that summarize a transcript in sections.
    """

    batch: int = 8
    rollout: str | None = None
    rollout_folder: Path | None = None
    section_tokens: int | None = None


def parse_system(spec: str, settings: AnswerSettings | None = None) -> System:
    """Return the system for `NAME=KIND:WHERE`, or for `KIND:WHERE`, which is its name too. Raises UnknownSystem if the
    kind is unknown or the place is missing.
    """
    settings = settings or AnswerSettings()
    name, named, what = spec.partition("=")
    if not named:
        name, what = spec, spec
    kind, _, where = what.partition(":")
    if kind == "reference":
        return System(name, kind, lambda records: [record.summary for record in records])
    if not where:
        raise UnknownSystem(
            f"{spec!r} does not say where the system is: give NAME=service:URL, endpoint:URL#MODEL, cascade:FOLDER, or "
            "hears, reads, silent or shuffled with a FOLDER"
        )
    if kind == "kept":
        return earlier_system(name, where)
    if kind == "service":
        return System(name, kind, lambda records: service_summaries(where, records, settings.batch))
    if kind in LOCAL_KINDS:
        return System(
            name, kind, lambda records: checkpoint_summaries(Path(where), LOCAL_KINDS[kind], records, settings)
        )
    if kind == "endpoint":
        return System(name, kind, lambda records: endpoint_summaries(where, records, settings.batch))
    if kind == "cascade":
        whisper, _, folder = where.rpartition("#")
        return System(
            name,
            kind,
            lambda records: cascade_summaries(Path(whisper) if whisper else None, Path(folder), records, settings),
        )
    if kind in ABLATIONS:
        return System(name, kind, lambda records: ablation_summaries(Path(where), kind, records, settings))
    known = ("service", *LOCAL_KINDS, "endpoint", "cascade", *ABLATIONS, "reference", "kept")
    raise UnknownSystem(f"{spec!r}: {kind!r} is not one of {', '.join(known)}")


def earlier_system(name: str, where: str) -> System:
    """Return the system of an earlier result, which gives the answers of that result. Raises UnknownSystem."""
    result = read_earlier_system(where)
    file, _, system = where.partition("#")
    answers = {row["id"]: row["summary"] for row in result["rows"]}

    def summaries(records: Sequence[Record]) -> list[str]:
        if missing := [record.id for record in records if record.id not in answers]:
            raise UnknownSystem(f"{file} has no answer of {system!r} to {', '.join(missing[:3])}")
        return [answers[record.id] for record in records]

    return System(name, result["kind"], summaries)


async def post_records(url: str, records: Sequence[Record], concurrency: int) -> list[dict[str, Any]]:
    """Post the records to a running service, and return its JSON responses in the order of the records.

    concurrency: the most open requests. Raises RuntimeError, which names the record, for a response other than 200.
    """
    gate = asyncio.Semaphore(concurrency)

    async def ask(client: httpx.AsyncClient, record: Record) -> dict[str, Any]:
        async with gate:
            audio = await asyncio.to_thread(audio_file_bytes, record)
            # The service takes style fields. A query that belongs to no style is its field `instructions`.
            style = {"instructions": record.query} if record.style is None else record.style
            fields = {key: str(value) for key, value in style.items()}
            answer = await client.post("/v1/audio/summaries", files={"file": audio}, data=fields)
        if answer.status_code != 200:
            raise RuntimeError(f"{record.id}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        return await asyncio.gather(*(ask(client, record) for record in records))


def service_summaries(url: str, records: Sequence[Record], concurrency: int) -> list[str]:
    """Return the summaries of a running service."""
    return [answer["summary"] for answer in asyncio.run(post_records(url, records, concurrency))]


def open_checkpoint(folder: Path, hears: bool) -> Any:
    """Return the checkpoint's model, on the GPU if there is one. Raises UnknownSystem if it takes audio and `hears` is
    False, or the reverse.
    """
    model = open_model(folder)
    if family_by_model_type(architecture := model_type_of(model)).takes_audio != hears:
        raise UnknownSystem(f"{folder} is {architecture}, which {'reads' if hears else 'hears'}")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def checkpoint_summaries(folder: Path, hears: bool, records: Sequence[Record], settings: AnswerSettings) -> list[str]:
    """Return greedy answers of a checkpoint, from this process, or from the vLLM server if there is one and it
    hears.
    """
    model = open_checkpoint(folder, hears)
    return model_summaries(model, build_collator(folder, model), records, settings)


def model_summaries(model: Any, collator: Any, records: Sequence[Record], settings: AnswerSettings) -> list[str]:
    """Return greedy answers of a loaded model. One that reads answers in sections if the settings say so."""
    writer = make_rollout(collator, 0, settings.rollout if collator.takes_audio else None, settings.rollout_folder)

    def answer(records: Sequence[Record]) -> list[str]:
        # A server makes its own batches from all open requests.
        batch, out = max(1, len(records)) if isinstance(writer, VllmRollout) else settings.batch, []
        for start in range(0, len(records), batch):
            for sampled in writer.sample(model, records[start : start + batch]):
                out.append(collator.decode_answer(sampled.ids))
        return out

    if collator.takes_audio or settings.section_tokens is None:
        return answer(records)
    return answer_in_sections(
        answer, records, settings.section_tokens, lambda text: len(collator.tokenizer(text).input_ids)
    )


def cascade_summaries(
    whisper: Path | None, folder: Path, records: Sequence[Record], settings: AnswerSettings
) -> list[str]:
    """Return greedy answers of a text model to Whisper's transcripts; "" for an empty transcript, as in the service."""
    model = open_checkpoint(folder, hears=False)
    transcribed = asyncio.run(transcribe(records, whisper))
    answers = iter(
        model_summaries(model, build_collator(folder, model), [row for row in transcribed if row.transcript], settings)
    )
    return [next(answers) if row.transcript else "" for row in transcribed]


def ablation_summaries(folder: Path, how: str, records: Sequence[Record], settings: AnswerSettings) -> list[str]:
    """Return greedy answers of a checkpoint that gets wrong audio. how: a key of `ABLATIONS`."""
    with ABLATIONS[how](records) as changed:
        return checkpoint_summaries(folder, True, changed, settings)


def endpoint_summaries(where: str, records: Sequence[Record], concurrency: int) -> list[str]:
    """Return the answers of an endpoint to the true transcripts. where: URL#MODEL. Raises EndpointError."""
    client, name = open_endpoint(where)

    def ask(record: Record) -> str:
        messages: Any = transcript_messages(record.query, record.transcript)
        answer = client.chat.completions.create(
            model=name, messages=messages, temperature=0, max_tokens=answer_limit(record)
        )
        return (answer.choices[0].message.content or "").strip()

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(ask, records))
