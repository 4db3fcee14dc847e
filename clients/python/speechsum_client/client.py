"""The client without asyncio. What it sends is in `requests.py`, how in `transport.py`, what an answer means in
`calls.py`.

A client may be shared by threads. Every method raises what `errors.py` draws.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from pydantic import BaseModel

from speechsum_client import requests
from speechsum_client.answers import (
    ChatCompletion,
    JobInfo,
    JobPage,
    ModelT,
    ParsedSummary,
    RecordingInfo,
    Summary,
)
from speechsum_client.calls import parse_answer
from speechsum_client.cards import Model, ModelPage, Template, TemplateList, Vocabulary
from speechsum_client.errors import ConnectionFailed, SpeechsumError
from speechsum_client.fields import QuestionFields, Schema, SummaryFields, TemplateFields
from speechsum_client.jobs import Job
from speechsum_client.recordings import Recording, open_recording
from speechsum_client.requests import ChatAnswer, Turn
from speechsum_client.retries import Attempts
from speechsum_client.sse import DONE, EventParser
from speechsum_client.streams import SummaryEvent, SummaryStream
from speechsum_client.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

_sleep = time.sleep


class Client(Transport):
    """A client of one service.

    Args:
        base_url: Where the service is; a `/v1` at its end does no harm.
        api_key: The key, if the service wants one.
        timeout: Seconds that an answer may take that the service works on. It is not repeated after that.
        idle_timeout: Seconds without a byte where the service answers at once, or sends signs of life, as in a stream.
            It must be longer than the service's `SPEECHSUM_TIMEOUTS__KEEP_ALIVE_SECONDS`.
        connect_timeout: Seconds in which a connection must be made.
        retry: How often a request is sent again after a network error, a 429 or a 503.
        http: httpx's client, for proxies, certificates and tests; the caller closes it.

    Raises: ValueError if `base_url` is not an address of HTTP.
    """

    @overload
    def summarize(
        self,
        file: Recording,
        *,
        json_schema: type[ModelT],
        idempotency_key: str | None = None,
        **fields: Unpack[SummaryFields],
    ) -> ParsedSummary[ModelT]: ...

    @overload
    def summarize(
        self,
        file: Recording,
        *,
        json_schema: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SummaryFields],
    ) -> Summary: ...

    def summarize(
        self,
        file: Recording,
        *,
        json_schema: Schema | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SummaryFields],
    ) -> Summary:
        """Return the summary of a recording.

        Args:
            file: A path, bytes, an open file, a URL that the service fetches, or a kept `recording_id`.
            json_schema: A JSON Schema that `structured` follows, or a Pydantic model that it is parsed into.
            idempotency_key: Makes the request the same one as another with this key; a new key if None.
            fields: How the summary is written; see `SummaryFields`.
        """
        with open_recording(file) as recording:
            call = requests.summary_call(recording, fields, json_schema, idempotency_key)
            summary = parse_answer(self.send(call), Summary)
        if isinstance(json_schema, type) and issubclass(json_schema, BaseModel):
            return ParsedSummary.of(summary, json_schema)
        return summary

    def summarize_stream(
        self,
        file: Recording,
        *,
        json_schema: Schema | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SummaryFields],
    ) -> Iterator[SummaryEvent]:
        """Yield what happens while a recording is summarized: stages, pieces of text, and at the end the `Summary`.

        The arguments are those of `summarize`. Leaving the loop ends the work. A connection that is lost is made again
        (`streams.py`).
        """
        stream, attempts = SummaryStream(), Attempts(self.retry)
        with open_recording(file) as recording:
            call = requests.summary_call(recording, fields, json_schema, idempotency_key, stream=True)
            while True:
                try:
                    stream.begin()
                    with self.open_stream(call) as response:
                        parser = EventParser()
                        for chunk in self.read_chunks(call, response):
                            for event in parser.feed(chunk):
                                if event.data != DONE:
                                    yield from stream.read(event.data)
                                if stream.is_done:
                                    return
                    raise ConnectionFailed("The stream ended before the summary was complete.")
                except SpeechsumError as error:
                    _sleep(attempts.wait_s(error))

    def ask(
        self,
        file: Recording,
        question: str,
        *,
        history: Sequence[Turn] = (),
        idempotency_key: str | None = None,
        **fields: Unpack[QuestionFields],
    ) -> ChatAnswer:
        """Return the answer to a question about a recording, which is read anew for each question, unless it is kept.

        Args:
            history: The questions and answers before, as `ChatAnswer.history` holds them.
            fields: How the answer is written; see `QuestionFields`.
        """
        with open_recording(file) as recording:
            call = requests.question_call(recording, question, history, fields, idempotency_key)
        return requests.chat_answer(parse_answer(self.send(call), ChatCompletion), question, history)

    def recording(self, id: str) -> RecordingInfo:
        """Return what the service says about a kept recording. Raises NotFound if it is not kept any more."""
        return parse_answer(self.send(requests.recording_call(id)), RecordingInfo)

    def delete_recording(self, id: str) -> None:
        """Delete a kept recording. Raises NotFound if it is not kept any more."""
        self.send(requests.delete_recording_call(id))

    def models(self, *, all: bool = False) -> list[Model]:
        """Return the models and adapters that `model` can name. all: the rest of the registry too."""
        return parse_answer(self.send(requests.models_call(all=all)), ModelPage).data

    def model(self, name: str) -> Model:
        """Return one model. Raises NotFound if the service does not serve it."""
        return parse_answer(self.send(requests.model_call(name)), Model)

    def templates(self) -> list[Template]:
        """Return the built-in templates, and then those of this API key."""
        return parse_answer(self.send(requests.templates_call()), TemplateList).data

    def template(self, name: str) -> Template:
        """Return one template. Raises NotFound if there is none of this name."""
        return parse_answer(self.send(requests.template_call(name)), Template)

    def create_template(
        self,
        name: str,
        description: str,
        instruction: str,
        *,
        json_schema: Schema | None = None,
        **fields: Unpack[TemplateFields],
    ) -> Template:
        """Create a template. Raises Conflict if there is one of this name, or if there are as many as are kept."""
        call = requests.write_template_call("POST", name, description, instruction, json_schema, fields)
        return parse_answer(self.send(call), Template)

    def replace_template(
        self,
        name: str,
        description: str,
        instruction: str,
        *,
        json_schema: Schema | None = None,
        **fields: Unpack[TemplateFields],
    ) -> Template:
        """Replace everything in a template but its name. Raises NotFound if there is none of this name."""
        call = requests.write_template_call("PUT", name, description, instruction, json_schema, fields)
        return parse_answer(self.send(call), Template)

    def delete_template(self, name: str) -> None:
        """Delete a template. Raises NotFound if there is none of this name, Conflict if it is a built-in one."""
        self.send(requests.delete_template_call(name))

    def vocabulary(self) -> list[str]:
        """Return the names and terms that this API key has for all of its requests."""
        return parse_answer(self.send(requests.vocabulary_call()), Vocabulary).terms

    def replace_vocabulary(self, terms: Sequence[str]) -> list[str]:
        """Give this API key these names and terms in place of those that it has, and return them as they are kept.

        terms: the most important first; `vocabulary` of a request comes before them.
        """
        return parse_answer(self.send(requests.replace_vocabulary_call(terms)), Vocabulary).terms

    def delete_vocabulary(self) -> None:
        """Leave this API key without names and terms of its own. It is no error if it has none."""
        self.send(requests.delete_vocabulary_call())

    def create_job(
        self,
        file: Recording,
        *,
        json_schema: Schema | None = None,
        webhook_url: str | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[SummaryFields],
    ) -> Job:
        """Queue a recording and return the job, which outlives this client and restarts of the service.

        Args:
            webhook_url: Where the service sends a signed webhook when the job has ended (`verify_webhook`).
        """
        with open_recording(file) as recording:
            call = requests.create_job_call(recording, fields, json_schema, idempotency_key, webhook_url)
            return Job(self, parse_answer(self.send(call), JobInfo))

    def job(self, id: str) -> Job:
        """Return a job. Raises NotFound if there is none with this id, or if it is another key's."""
        return Job(self, parse_answer(self.send(requests.job_call(id)), JobInfo))

    def jobs(self, *, state: str | None = None, page_size: int = 100) -> Iterator[Job]:
        """Yield the jobs of this API key, newest first, without their summaries. state: only those in this state."""
        after: str | None = None
        while True:
            page = parse_answer(self.send(requests.jobs_call(state, page_size, after)), JobPage)
            yield from (Job(self, info) for info in page.data)
            if not page.has_more or page.last_id is None:
                return
            after = page.last_id
