"""What a summary template holds. Knows nothing about where templates are kept or how summaries are made."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.core.prompts import MAX_LENGTH_CHARACTERS, Style, SummaryStyle

AUTO = "auto"  # in a request: the template that fits the recording
NONE = "none"  # in the model's answer: no template fits the recording
RESERVED_NAMES = (AUTO, NONE)
MAX_NAME_CHARACTERS = 64
MAX_DESCRIPTION_CHARACTERS = 200
MAX_INSTRUCTION_CHARACTERS = 2000
NAME_PATTERN = "^[a-z][a-z0-9_]*$"
STYLE_FIELDS = ("style", "length", "focus", "language", "tone")
_NAME = re.compile(NAME_PATTERN)


class TemplateContent(BaseModel):
    """A template without its name. The style's fields mean what they mean in a request, whose own fields win."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    description: str = Field(
        min_length=1,
        max_length=MAX_DESCRIPTION_CHARACTERS,
        description="Which recordings the template is for, in a sentence. `template=auto` chooses by it.",
    )
    instruction: str = Field(
        min_length=1,
        max_length=MAX_INSTRUCTION_CHARACTERS,
        description="What the model is asked for. It takes the place of the sentence of the default style.",
    )
    style: SummaryStyle | None = Field(
        None, description="The shape of the summary; its sentence precedes the instruction."
    )
    length: str | None = Field(
        None, max_length=MAX_LENGTH_CHARACTERS, description="As in a request: `short`, `about 60 words`."
    )
    focus: str | None = Field(None, max_length=300, description="What to concentrate on, in a few words.")
    language: str | None = Field(None, description="Language of the summary as a BCP 47 tag.")
    tone: str | None = Field(None, max_length=60, description="The tone, such as `formal`.")
    json_schema: dict[str, Any] | None = Field(
        None,
        description="JSON Schema that the summary follows where a request asks for `response_format=json` and sends no "
        "schema of its own.",
    )

    @field_validator("length", "focus", "language", "tone", mode="before")
    @classmethod
    def _validate_as_in_a_request(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, str):
            return value  # refused, unless it is null
        try:
            return getattr(Style.model_validate({info.field_name: value}), info.field_name)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    @property
    def style_fields(self) -> dict[str, Any]:
        """The fields of the style that the template sets."""
        return {name: value for name in STYLE_FIELDS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Template:
    """A template. Times are Unix seconds; those of a built-in template are None."""

    name: str
    content: TemplateContent
    is_builtin: bool = False
    created: float | None = None
    updated: float | None = None


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a template."""
    return len(text) <= MAX_NAME_CHARACTERS and _NAME.fullmatch(text) is not None and text not in RESERVED_NAMES
