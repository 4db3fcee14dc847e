"""The messages of a chat request: texts, one recording, and earlier answers.

Source: OpenAI's API reference, `POST /v1/chat/completions`, and vLLM's `audio_url` part. Knows nothing about what the
messages mean together; that is in `app.api.chat_turns`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

MAX_PARTS = 64  # of a message


class TextPart(BaseModel):
    """A text."""

    type: Literal["text"]
    text: str


class InputAudio(BaseModel):
    """A recording in base64. Its format is detected from its content; `format` has no effect."""

    data: str
    format: str | None = None


class InputAudioPart(BaseModel):
    """A recording, as in OpenAI's API."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class AudioUrl(BaseModel):
    """The address of a recording: a `data:` URL in base64, or a URL to fetch it from."""

    url: str


class AudioUrlPart(BaseModel):
    """A recording, as in vLLM's API."""

    type: Literal["audio_url"]
    audio_url: AudioUrl


Part = Annotated[TextPart | InputAudioPart | AudioUrlPart, Field(discriminator="type")]


class Message(BaseModel):
    """A message of the user, or an instruction of the application."""

    role: Literal["system", "developer", "user"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)]

    @property
    def parts(self) -> list[TextPart | InputAudioPart | AudioUrlPart]:
        """The content as parts; a content that is a string is one part."""
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class RefusalPart(BaseModel):
    """The text with which an assistant declined to answer."""

    type: Literal["refusal"]
    refusal: str


class AssistantMessage(BaseModel):
    """An earlier answer of an assistant, or a text in its place. It is context for the question after it."""

    role: Literal["assistant"]
    content: (
        str
        | Annotated[list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]], Field(max_length=MAX_PARTS)]
        | None
    ) = None
    refusal: str | None = None
    # This service never fills these in, but clients send an answer back with all its fields.
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    function_call: None = None
    audio: None = None

    @property
    def parts(self) -> list[TextPart]:
        """The texts of the answer, or of the refusal to answer."""
        content = self.content or self.refusal or ""
        texts = (
            [content]
            if isinstance(content, str)
            else [p.text if isinstance(p, TextPart) else p.refusal for p in content]
        )
        return [TextPart(type="text", text=text) for text in texts]


AnyMessage = Annotated[Message | AssistantMessage, Field(discriminator="role")]
