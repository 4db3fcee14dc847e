"""The requests of the API, each as a `Call`. Paths and fields are those of the service's OpenAPI document."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechsum_client.answer_parts import Usage
from speechsum_client.answers import ChatCompletion, Summary
from speechsum_client.calls import Call, path_part
from speechsum_client.errors import InvalidAnswer
from speechsum_client.fields import Schema, form_fields, json_schema
from speechsum_client.recordings import OpenRecording

SUMMARIES = "/v1/audio/summaries"
JOBS = f"{SUMMARIES}/jobs"
CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
RECORDINGS = "/v1/recordings"
TEMPLATES = "/v1/templates"
VOCABULARY = "/v1/vocabulary"


@dataclass(frozen=True)
class Turn:
    """A question and the answer to it."""

    question: str
    answer: str


@dataclass(frozen=True)
class ChatAnswer:
    """The answer to a question about a recording.

    Attributes:
        text: The answer.
        summary: Everything that a summary would have said, such as `warnings` and `complete`.
        history: The questions and answers so far, for the next question.
    """

    text: str
    model: str
    usage: Usage
    summary: Summary
    history: tuple[Turn, ...]


def new_key(given: str | None) -> str:
    """Return the `Idempotency-Key` of a request: the caller's, or a new one."""
    return str(uuid.uuid4()) if given is None else given


def summary_call(
    recording: OpenRecording,
    fields: Mapping[str, Any],
    schema: Schema | None,
    key: str | None,
    *,
    stream: bool = False,
) -> Call:
    """Return the request for a summary. stream: as events, which come at once unless a recording is fetched first."""
    form = form_fields({**fields, "stream": True} if stream else fields, schema)
    is_long = not stream or recording.url is not None
    return Call("POST", SUMMARIES, form=form, recording=recording, key=new_key(key), is_long=is_long)


def create_job_call(
    recording: OpenRecording,
    fields: Mapping[str, Any],
    schema: Schema | None,
    key: str | None,
    webhook_url: str | None,
) -> Call:
    """Return the request that queues a recording."""
    form = form_fields({**fields, "webhook_url": webhook_url}, schema)
    return Call("POST", JOBS, form=form, recording=recording, key=new_key(key), is_long=recording.url is not None)


def job_call(id_: str) -> Call:
    """Return the request for a job."""
    return Call("GET", f"{JOBS}/{path_part(id_)}")


def job_result_call(id_: str) -> Call:
    """Return the request for the answer of a job that has ended."""
    return Call("GET", f"{JOBS}/{path_part(id_)}/result")


def cancel_call(id_: str) -> Call:
    """Return the request that cancels a job; a repeat changes nothing."""
    return Call("POST", f"{JOBS}/{path_part(id_)}/cancel")


def delete_call(id_: str) -> Call:
    """Return the request that deletes a job."""
    return Call("DELETE", f"{JOBS}/{path_part(id_)}")


def job_events_call(id_: str, last_event_id: str) -> Call:
    """Return the request for the events of a job after the last one that was received."""
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    return Call("GET", f"{JOBS}/{path_part(id_)}/events", headers=headers)


def jobs_call(state: str | None, limit: int, after: str | None) -> Call:
    """Return the request for a page of jobs."""
    given = {"limit": str(limit), "state": state, "after": after}
    return Call("GET", JOBS, params={name: value for name, value in given.items() if value is not None})


def models_call(*, all: bool) -> Call:
    """Return the request for the models. all: those too that are not loaded."""
    return Call("GET", MODELS, params={"all": "true"} if all else {})


def model_call(name: str) -> Call:
    """Return the request for one model."""
    return Call("GET", f"{MODELS}/{path_part(name)}")


def recording_call(id_: str) -> Call:
    """Return the request for what the service says about a kept recording."""
    return Call("GET", f"{RECORDINGS}/{path_part(id_)}")


def delete_recording_call(id_: str) -> Call:
    """Return the request that deletes a kept recording."""
    return Call("DELETE", f"{RECORDINGS}/{path_part(id_)}")


def templates_call() -> Call:
    """Return the request for the templates."""
    return Call("GET", TEMPLATES)


def template_call(name: str) -> Call:
    """Return the request for one template."""
    return Call("GET", f"{TEMPLATES}/{path_part(name)}")


def write_template_call(
    method: str, name: str, description: str, instruction: str, schema: Schema | None, fields: Mapping[str, Any]
) -> Call:
    """Return the request that creates a template (`POST`) or replaces it (`PUT`)."""
    body: dict[str, Any] = {"description": description, "instruction": instruction}
    body |= {key: str(value) for key, value in fields.items() if value is not None}
    body |= {} if schema is None else {"json_schema": json_schema(schema)}
    if method == "POST":
        return Call("POST", TEMPLATES, json=json.dumps({"name": name, **body}).encode())
    return Call("PUT", f"{TEMPLATES}/{path_part(name)}", json=json.dumps(body).encode())


def delete_template_call(name: str) -> Call:
    """Return the request that deletes a template."""
    return Call("DELETE", f"{TEMPLATES}/{path_part(name)}")


def vocabulary_call() -> Call:
    """Return the request for the key's vocabulary."""
    return Call("GET", VOCABULARY)


def replace_vocabulary_call(terms: Sequence[str]) -> Call:
    """Return the request that replaces the key's vocabulary. Raises TypeError for a text, which is no list of terms."""
    if isinstance(terms, str):
        raise TypeError("terms is a list of texts, not one text")
    return Call("PUT", VOCABULARY, json=json.dumps({"terms": list(terms)}).encode())


def delete_vocabulary_call() -> Call:
    """Return the request that deletes the key's vocabulary."""
    return Call("DELETE", VOCABULARY)


def question_call(
    recording: OpenRecording, question: str, history: Sequence[Turn], fields: Mapping[str, Any], key: str | None
) -> Call:
    """Return the request for an answer to a question, after earlier ones. It holds the whole recording, in base64,
    unless it is a kept one.
    """
    part: dict[str, Any] = {"type": "audio_url", "audio_url": {"url": recording.url}}
    if recording.url is None and recording.kept_id is None:
        data = base64.b64encode(recording.read()).decode("ascii")
        part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}  # `format` has no effect
    questions = [*(turn.question for turn in history), question]
    messages: list[dict[str, Any]] = []
    for index, text in enumerate(questions):
        content = [part] * (index == 0 and recording.kept_id is None) + [{"type": "text", "text": text}]
        messages.append({"role": "user", "content": content})
        if index < len(history):
            messages.append({"role": "assistant", "content": history[index].answer})
    given = {name: value for name, value in fields.items() if value is not None}
    if recording.kept_id is not None:
        given["recording_id"] = recording.kept_id
    body = {"model": "", **given, "messages": messages}  # no name is the default model's
    return Call("POST", CHAT, json=json.dumps(body).encode(), key=new_key(key), is_long=True)


def chat_answer(completion: ChatCompletion, question: str, history: Sequence[Turn]) -> ChatAnswer:
    """Return the answer in a chat completion. Raises InvalidAnswer if there is none."""
    if not completion.choices:
        raise InvalidAnswer("The chat completion has no choice.")
    text = completion.choices[0].message.content
    turns = (*history, Turn(question, text))
    return ChatAnswer(text, completion.model, completion.usage, completion.speechsum, turns)
