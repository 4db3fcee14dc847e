"""OpenAI's chat completions as far as they fit a service that summarizes recordings: what is asked, what is answered.

Source: OpenAI's API reference, `POST /v1/chat/completions`, and vLLM's `audio_url` part. What would change the answer
and cannot be done here is refused by name; what asks for nothing (`tools: []`, `frequency_penalty: 0`) is let pass.
Knows nothing about how answers come about.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from app.api.chat_turns import Conversation, PlainMessage, parse_conversation
from app.api.json_body import LONG_STRING_BYTES, JsonBody, LongString
from app.api.protocol import ResponseModel, SummaryResponse, Usage
from app.api.summary_fields import invalid_field_error
from app.core import prompts
from app.core.errors import InvalidRequest, quote
from app.summarize.request import OutputFormat
from app.summarize.structured import output_format

MAX_CHOICES = 8
MAX_TEXT_CHARACTERS = 8000
MAX_PARTS = 64  # of a message
# Parameters that may be given if they ask for nothing.
NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "logit_bias": ({}, None),
    "logprobs": (False, None),
    "top_logprobs": (0, None),
    "tools": ([], None),
    "tool_choice": ("none", "auto", None),
    "functions": ([], None),
    "function_call": ("none", "auto", None),
    "parallel_tool_calls": (True, False, None),
    "modalities": (["text"], None),
    "audio": (None,),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "web_search_options": (None,),
}
_NO_TOOLS = "this service summarizes recordings and calls no tools"
_NO_PENALTIES = "the sampling parameters are temperature, top_p and seed"
UNSUPPORTED_REASONS = {
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "frequency_penalty": _NO_PENALTIES,
    "presence_penalty": _NO_PENALTIES,
    "logit_bias": _NO_PENALTIES,
    "logprobs": "answers come without the probabilities of their tokens",
    "top_logprobs": "answers come without the probabilities of their tokens",
    "modalities": "answers are text",
    "audio": "answers are text",
}
# They say something about the call, nothing about the answer.
IGNORED_PARAMETERS = ("user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity")


class TextPart(BaseModel):
    """Words."""

    type: Literal["text"]
    text: str


class InputAudio(BaseModel):
    """A file in base64. Its format is told by its content; what `format` says is not relied on."""

    data: str
    format: str | None = None


class InputAudioPart(BaseModel):
    """The recording, as OpenAI has it."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class AudioUrl(BaseModel):
    """Where it is: a `data:` URL in base64, or one to fetch it from."""

    url: str


class AudioUrlPart(BaseModel):
    """The recording, as vLLM has it."""

    type: Literal["audio_url"]
    audio_url: AudioUrl


Part = Annotated[TextPart | InputAudioPart | AudioUrlPart, Field(discriminator="type")]


class Message(BaseModel):
    """One turn."""

    role: Literal["system", "developer", "user"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)]

    @property
    def parts(self) -> list[TextPart | InputAudioPart | AudioUrlPart]:
        """A content that is a text is one part."""
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class RefusalPart(BaseModel):
    """Words by which an assistant has declined."""

    type: Literal["refusal"]
    refusal: str


class AssistantMessage(BaseModel):
    """An earlier answer, as it came or in the caller's words. It is context for what is asked after it."""

    role: Literal["assistant"]
    content: (
        str
        | Annotated[list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]], Field(max_length=64)]
        | None
    ) = None
    refusal: str | None = None
    # There are none here; clients send these back as they got them.
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    function_call: None = None
    audio: None = None

    @property
    def parts(self) -> list[TextPart]:
        """What was said."""
        content = self.content or self.refusal or ""
        texts = (
            [content]
            if isinstance(content, str)
            else [p.text if isinstance(p, TextPart) else p.refusal for p in content]
        )
        return [TextPart(type="text", text=text) for text in texts]


AnyMessage = Annotated[Message | AssistantMessage, Field(discriminator="role")]


class JsonSchema(BaseModel):
    """A schema by name. It is enforced whether `strict` or not."""

    name: str = Field(max_length=64)
    description: str | None = None
    json_schema: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """Words, any JSON object, or one that follows a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(BaseModel):
    """include_usage: one more chunk with the tokens."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


def _neutral_schema(kind: str, **limits: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": "Not supported; what asks for nothing is accepted.", **limits}


_NEUTRAL_SCHEMAS = {
    "frequency_penalty": _neutral_schema("number", minimum=0, maximum=0),
    "presence_penalty": _neutral_schema("number", minimum=0, maximum=0),
    "logit_bias": _neutral_schema("object", maxProperties=0),
    "logprobs": _neutral_schema("boolean", **{"not": {"const": True}}),
    "top_logprobs": _neutral_schema("integer", minimum=0, maximum=0),
    "tools": _neutral_schema("array", maxItems=0, items={}),
    "tool_choice": _neutral_schema("string", pattern="^(none|auto)$"),
    "functions": _neutral_schema("array", maxItems=0, items={}),
    "function_call": _neutral_schema("string", pattern="^(none|auto)$"),
    "parallel_tool_calls": _neutral_schema("boolean"),
    "modalities": _neutral_schema("array", minItems=1, maxItems=1, items={"type": "string", "pattern": "^text$"}),
}


def _add_openai_parameters(schema: dict[str, Any]) -> None:
    """What `parse_chat_request` adds to the model: other parameters are known by name, or refused."""
    nothing = {"type": "null", "description": "Not supported."}
    schema["properties"] |= {name: _NEUTRAL_SCHEMAS.get(name, nothing) for name in NEUTRAL_VALUES}
    schema["properties"] |= {name: {"description": "Has no effect."} for name in IGNORED_PARAMETERS}
    schema["additionalProperties"] = False


class ChatRequest(BaseModel):
    """One recording in the messages, and in words what to do with it; after answers, what to do next."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_add_openai_parameters)

    model: str = Field(max_length=200)
    messages: list[AnyMessage] = Field(min_length=1, max_length=64)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: str | list[str] | None = Field(None, max_length=256)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    _body: JsonBody = PrivateAttr(default_factory=lambda: JsonBody(b""))

    @property
    def max_summary_tokens(self) -> int | None:
        """The most tokens to write, by whichever of OpenAI's two names; None if neither is given."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stop_sequences(self) -> tuple[str, ...]:
        """The texts before which the answer ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def conversation(self) -> Conversation:
        """What was asked and answered before, and what is asked now. Raises InvalidRequest (400)."""
        return parse_conversation(
            PlainMessage(
                "\n".join(part.text for part in message.parts if isinstance(part, TextPart) and part.text.strip()),
                from_assistant=isinstance(message, AssistantMessage),
                has_recording=any(not isinstance(part, TextPart) for part in message.parts),
            )
            for message in self.messages
        )

    @property
    def output_format(self) -> OutputFormat:
        """What the response format means for the writing. Raises InvalidRequest (400) for a schema that is none."""
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
        """Where the one recording is to be fetched from; None if it is in the messages. Raises InvalidRequest (400) if
        there is none or if there are several.
        """
        part = self._recording_part
        if isinstance(part, InputAudioPart) or self._body.long_string(part.audio_url.url):
            return None
        return None if part.audio_url.url.lstrip()[:5].lower() == "data:" else part.audio_url.url

    @property
    def encoded_recording(self) -> str | LongString:
        """The one recording as the messages hold it: base64, or a `data:` URL."""
        part = self._recording_part
        encoded = part.input_audio.data if isinstance(part, InputAudioPart) else part.audio_url.url
        return self._body.long_string(encoded) or encoded

    @property
    def _recording_part(self) -> InputAudioPart | AudioUrlPart:
        found = [part for message in self.messages for part in message.parts if not isinstance(part, TextPart)]
        if len(found) != 1:
            raise _field_error(
                f"the messages hold {len(found)} recordings; this service summarizes one, as an input_audio or "
                "audio_url part",
                "messages",
            )
        return found[0]


def parse_chat_request(body: JsonBody) -> ChatRequest:
    """A request out of a body. Raises InvalidRequest (400) that names the field at fault."""
    try:
        request = ChatRequest.model_validate_json(body.text)
    except ValidationError as error:
        raise invalid_field_error(error.errors(include_input=False, include_url=False)) from None
    request._body = body
    _check_long_strings(request, body)
    for name, value in (request.model_extra or {}).items():
        if name in IGNORED_PARAMETERS:
            continue
        if name not in NEUTRAL_VALUES:
            raise InvalidRequest(f"Unknown parameter {quote(name)}.", code="unknown_parameter", param=name)
        if not _is_neutral(name, value):
            allowed = " or ".join(json.dumps(known) for known in NEUTRAL_VALUES[name])
            raise InvalidRequest(
                f"{name} is not supported: {UNSUPPORTED_REASONS.get(name, 'this service has nothing like it')}. "
                "Leave it out; what "
                f"asks for nothing ({allowed}) is accepted.",
                code="unsupported_parameter",
                param=name,
            )
    if len(request.stop_sequences) > 4 or not all(0 < len(text) <= 256 for text in request.stop_sequences):
        raise _field_error("stop takes up to four texts of 1 to 256 characters", "stop")
    conversation = request.conversation
    characters = len(conversation.question) + sum(len(turn.question) for turn in conversation.turns)
    if characters > MAX_TEXT_CHARACTERS:
        raise _field_error(f"the texts have {characters} characters, the most is {MAX_TEXT_CHARACTERS}", "messages")
    return request


def _is_neutral(name: str, value: Any) -> bool:
    """Whether a parameter that is not supported has a value that does not change the answer. `False` is not 0."""
    if isinstance(value, float) and value == 0:
        value = 0
    return any(type(value) is type(known) and value == known for known in NEUTRAL_VALUES[name])


def _check_long_strings(request: ChatRequest, body: JsonBody) -> None:
    """Refuse a long string that is not a recording."""
    parts = [part for message in request.messages for part in message.parts if not isinstance(part, TextPart)]
    recordings = {part.input_audio.data if isinstance(part, InputAudioPart) else part.audio_url.url for part in parts}
    if others := body.long_strings.keys() - recordings:
        where = body.path_of(others)
        raise _field_error(f"{where} has more than {LONG_STRING_BYTES} bytes, which only a recording may have", where)


class ChatMessage(ResponseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None
    annotations: list[Any] = Field([])


class ChatChoice(ResponseModel):
    """One answer. finish_reason is OpenAI's: `length`, or else `stop`; `speechsum` has ours."""

    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(ResponseModel):
    """A finished answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str | None = None
    speechsum: SummaryResponse = Field(description="All that `POST /v1/audio/summaries` says of the first choice.")


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
    """An event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    speechsum: SummaryResponse | None = Field(None, description="With the last chunk that has choices.")


def _field_error(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"{what[0].upper()}{what[1:]}.", code="invalid_field", param=param)
