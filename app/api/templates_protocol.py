"""The typed requests and responses of `/v1/templates`. Knows nothing about where templates are kept."""

from typing import Any, Literal

from pydantic import Field

from app.api.protocol import ResponseModel
from app.core.prompts import SummaryStyle
from app.templates.template import MAX_NAME_CHARACTERS, NAME_PATTERN, Template, TemplateContent


class TemplateRequest(TemplateContent):
    """A template to create."""

    name: str = Field(
        max_length=MAX_NAME_CHARACTERS,
        description="Name by which a request's `template` asks for it: lower-case letters, digits and _, a letter "
        "first.",
        json_schema_extra={"pattern": NAME_PATTERN},
    )

    @property
    def content(self) -> TemplateContent:
        """The template without its name."""
        return TemplateContent.model_validate(self.model_dump(exclude={"name"}))


class TemplateCard(ResponseModel):
    """A template. Times are Unix seconds; they are null for a built-in one."""

    name: str
    object: Literal["template"] = "template"
    built_in: bool = Field(description="Whether every caller has it and nobody can change it.")
    description: str
    instruction: str
    style: SummaryStyle | None
    length: str | None
    focus: str | None
    language: str | None
    tone: str | None
    json_schema: dict[str, Any] | None
    created: int | None
    updated: int | None


class TemplateList(ResponseModel):
    """The built-in templates, and then your own by name."""

    object: Literal["list"] = "list"
    data: list[TemplateCard]


def template_card(template: Template) -> TemplateCard:
    """Return a template as callers see it."""
    return TemplateCard(
        name=template.name,
        built_in=template.is_builtin,
        created=None if template.created is None else int(template.created),
        updated=None if template.updated is None else int(template.updated),
        **template.content.model_dump(),
    )
