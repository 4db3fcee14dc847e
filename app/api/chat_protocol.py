"""The typed requests and responses of OpenAI's chat completions, as far as they fit a service that summarizes
recordings.

Source: OpenAI's API reference, `POST /v1/chat/completions`. Knows nothing about how answers are made.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from app.api.background_fields import CONTEXT_DESCRIPTION, VOCABULARY_DESCRIPTION, clean_terms
from app.api.chat_messages import AnyMessage, AssistantMessage, AudioUrlPart, InputAudioPart, TextPart
from app.api.chat_parameters import add_openai_parameters, check_parameters
from app.api.chat_turns import Conversation, PlainMessage, parse_conversation
from app.api.json_body import LONG_STRING_BYTES, JsonBody, LongString
from app.api.protocol import ResponseModel, SummaryResponse, Usage
from app.api.questions_field import Questions
from app.api.summary_fields import check_effort, invalid_field_error
from app.api.upload import two_recordings_error
from app.core import prompts
from app.core.background import Background
from app.core.errors import InvalidRequest
from app.summarize.request import Effort, OutputFormat, TranscriptFormat
from app.summarize.structured import output_format
from app.templates.template import MAX_NAME_CHARACTERS

MAX_CHOICES = 8
MAX_TEXT_CHARACTERS = 8000
MAX_MESSAGES = 64
MAX_STOP_SEQUENCES = 4
MAX_STOP_CHARACTERS = 256


class JsonSchema(BaseModel):
    """A JSON Schema with a name. It is enforced with `strict` and without it."""

    name: str = Field(max_length=64)
    description: str | None = None
    json_schema: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """The format of the answer: text, any JSON object, or a JSON object that follows a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(BaseModel):
    """Options of a stream. `include_usage` adds one more chunk, with the numbers of tokens."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class ChatRequest(BaseModel):
    """One recording in the messages, and the instruction for it; after earlier answers, the next question about it."""

    model_config = ConfigDict(extra="allow", json_schema_extra=add_openai_parameters)

    model: str = Field(max_length=200)
    messages: list[AnyMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: str | list[str] | None = Field(None, max_length=MAX_STOP_CHARACTERS)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    effort: Effort | None = Field(
        None,
        description="This service's own: `high` writes several answers and sends the one that the others agree with "
        "most, which takes about as many times the decoding. It goes neither with `temperature` nor with `n`.",
    )
    template: str | None = Field(
        None,
        max_length=MAX_NAME_CHARACTERS,
        description="This service's own: name of a summary template, whose instruction precedes the question; `auto` "
        "lets the model choose one by the recording.",
    )
    transcript: TranscriptFormat | None = Field(
        None,
        description="This service's own: sends the transcript in `speechsum`, from a model that has one (a cascade).",
    )
    context: str | None = Field(None, description=f"This service's own. {CONTEXT_DESCRIPTION.split(' Send ')[0]}")
    vocabulary: list[str] | None = Field(
        None, description=f"This service's own. {VOCABULARY_DESCRIPTION.format(form='')}"
    )
    questions: Questions | None = None
    keep: bool | None = Field(
        None,
        description="This service's own: keep the recording for further requests; `speechsum` has its `recording_id`.",
    )
    recording_id: str | None = Field(
        None,
        max_length=100,
        description="This service's own: a recording that an earlier request has kept, instead of one in the messages.",
    )
    _body: JsonBody = PrivateAttr(default_factory=lambda: JsonBody(b""))

    @field_validator("vocabulary")
    @classmethod
    def _clean_terms(cls, terms: list[str] | None) -> list[str] | None:
        return None if terms is None else list(clean_terms(terms))

    @property
    def background(self) -> Background:
        """What the caller knows before the recording is heard."""
        return Background((self.context or "").strip(), tuple(self.vocabulary or ()))

    @property
    def max_summary_tokens(self) -> int | None:
        """The largest number of tokens to write, by either of OpenAI's two names; None if neither is given."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stop_sequences(self) -> tuple[str, ...]:
        """The texts at which the answer stops; they are not a part of it."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def conversation(self) -> Conversation:
        """The earlier questions and answers, and the question that is asked now. Raises InvalidRequest (400) if no
        question is asked, or if the earlier answers are too long.
        """
        # A kept recording is read as if it came with the first message of the user.
        users = [message for message in self.messages if message.role == "user"]
        holder = users[0] if self.recording_id is not None and users else None
        return parse_conversation(
            PlainMessage(
                "\n".join(part.text for part in message.parts if isinstance(part, TextPart) and part.text.strip()),
                from_assistant=isinstance(message, AssistantMessage),
                has_recording=message is holder or any(not isinstance(part, TextPart) for part in message.parts),
            )
            for message in self.messages
        )

    @property
    def output_format(self) -> OutputFormat:
        """The response format as the summarizer takes it. Raises InvalidRequest (400) if the schema is missing or
        invalid.
        """
        response_format = self.response_format
        if response_format is None or response_format.type == "text":
            return OutputFormat()
        if response_format.type == "json_object":
            return OutputFormat(prompts.JSON_INSTRUCTION, {"type": "object"}, output_format.STRUCTURED_TOKENS)
        if response_format.json_schema is None:
            raise _field_error("json_schema is missing", "response_format")
        return output_format.schema_output_format(response_format.json_schema.json_schema, param="response_format")

    @property
    def recording_url(self) -> str | None:
        """The URL from which the recording is to be fetched; None if the messages hold the recording itself. Raises
        InvalidRequest (400) unless there is exactly one recording.
        """
        part = self._recording_part
        if isinstance(part, InputAudioPart) or self._body.long_string(part.audio_url.url):
            return None
        return None if part.audio_url.url.lstrip()[:5].lower() == "data:" else part.audio_url.url

    @property
    def encoded_recording(self) -> str | LongString:
        """The recording as the messages hold it: base64, or a `data:` URL with base64. Raises InvalidRequest (400)
        unless there is exactly one recording.
        """
        part = self._recording_part
        encoded = part.input_audio.data if isinstance(part, InputAudioPart) else part.audio_url.url
        return self._body.long_string(encoded) or encoded

    @property
    def _recording_parts(self) -> list[InputAudioPart | AudioUrlPart]:
        return [part for message in self.messages for part in message.parts if not isinstance(part, TextPart)]

    @property
    def _recording_part(self) -> InputAudioPart | AudioUrlPart:
        found = self._recording_parts
        if len(found) != 1:
            raise _field_error(
                f"the messages hold {len(found)} recordings; this service summarizes one, as an input_audio or "
                "audio_url part",
                "messages",
            )
        return found[0]


def parse_chat_request(body: JsonBody) -> ChatRequest:
    """Return the request in a body, validated. Raises InvalidRequest (400), which names the invalid field."""
    try:
        request = ChatRequest.model_validate_json(body.text)
    except ValidationError as error:
        raise invalid_field_error(error.errors(include_input=False, include_url=False)) from None
    request._body = body
    _check_long_strings(request, body)
    check_parameters(request.model_extra or {})
    check_effort(request.effort, temperature_given=request.temperature is not None, choice_count=request.n or 1)
    if request.recording_id is not None and request._recording_parts:
        raise two_recordings_error("recording_id", "a recording in its messages")
    stop_sequences = request.stop_sequences
    if len(stop_sequences) > MAX_STOP_SEQUENCES or not all(
        0 < len(text) <= MAX_STOP_CHARACTERS for text in stop_sequences
    ):
        raise _field_error(
            f"stop takes up to {MAX_STOP_SEQUENCES} texts of 1 to {MAX_STOP_CHARACTERS} characters", "stop"
        )
    conversation = request.conversation
    characters = len(conversation.question) + sum(len(turn.question) for turn in conversation.turns)
    if characters > MAX_TEXT_CHARACTERS:
        raise _field_error(
            f"the texts have {characters} characters together; at most {MAX_TEXT_CHARACTERS} are accepted", "messages"
        )
    return request


def _check_long_strings(request: ChatRequest, body: JsonBody) -> None:
    """Check that every long string is a recording. Raises InvalidRequest (400), which names the field."""
    parts = [part for message in request.messages for part in message.parts if not isinstance(part, TextPart)]
    recordings = {part.input_audio.data if isinstance(part, InputAudioPart) else part.audio_url.url for part in parts}
    if others := body.long_strings.keys() - recordings:
        where = body.path_of(others)
        raise _field_error(f"{where} has more than {LONG_STRING_BYTES} bytes; only a recording may be so long", where)


class ChatMessage(ResponseModel):
    """The message that answers."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None
    annotations: list[Any] = Field([])


class ChatChoice(ResponseModel):
    """One answer. Its `finish_reason` is one of OpenAI's, `length` or `stop`; `speechsum` has the precise reason."""

    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(ResponseModel):
    """A complete answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str | None = None
    speechsum: SummaryResponse = Field(
        description="Everything that `POST /v1/audio/summaries` tells about the first choice."
    )


class ChunkDelta(ResponseModel):
    """A piece of an answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(ResponseModel):
    """A piece of one answer."""

    index: int
    delta: ChunkDelta
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length"] | None = None


class ChatChunk(ResponseModel):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    speechsum: SummaryResponse | None = Field(None, description="Sent with the last chunk that has choices.")


def _field_error(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"{message[0].upper()}{message[1:]}.", code="invalid_field", param=param)
