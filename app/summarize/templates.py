"""Templates in requests: what one changes in a request, and which one fits a recording.

To choose one, the model hears the recording, or the first window of a long one, and answers with one of the names,
which a JSON Schema enforces. That takes one more prompt with the recording in it and an answer of a few tokens. A
cascade transcribes the window only once, for this answer and for the summary. Knows nothing about where templates are
kept.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from app.core.errors import TooLarge
from app.core.prompts import SYSTEM_PROMPT, UNTRAINED_STRUCTURED_SYSTEM_PROMPT, Style
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.summarize.generation import TextGenerator
from app.summarize.recording_windows import RecordingWindows
from app.summarize.request import OutputFormat, Summary, SummaryRequest
from app.summarize.structured.output_format import schema_output_format, with_spaces
from app.templates.template import AUTO, NONE, Template

CHOICE_STAGE = "template"
CHOICE_TOKENS = 128  # enough for the longest name
_FIELD = "template"
# With these the recording has nothing to summarize, which the summary itself says.
_NOTHING_HEARD = ("no_speech", "not_understood")


def apply_template(request: SummaryRequest, template: Template) -> SummaryRequest:
    """Return the request with a template. What the caller asks for in fields of its own stays as it is.

    Raises InvalidRequest (400) if the template's schema is needed and cannot be used.
    """
    given = request.style.model_dump(include=request.style.model_fields_set)
    style = Style.model_validate(template.content.style_fields | given)
    output_format = template_output_format(request.output_format, template)
    return replace(request, style=style, template=template, output_format=output_format)


def template_output_format(output_format: OutputFormat, template: Template) -> OutputFormat:
    """Return the output format with the template's schema, if the caller asks for JSON and sends no schema.

    Raises InvalidRequest (400) if that schema cannot be used.
    """
    schema = template.content.json_schema
    if schema is None or output_format.schema is None or output_format.param:
        return output_format
    return schema_output_format(schema, param=_FIELD)


@dataclass(frozen=True)
class TemplateChoice:
    """What was chosen for a recording.

    Attributes:
        request: The request with the chosen template, or without one if none fits.
        prompt_tokens: Tokens that the choice took.
        completion_tokens: Tokens of the answer that chose.
        warnings: Sentences for the caller.
    """

    request: SummaryRequest
    prompt_tokens: int = 0
    completion_tokens: int = 0
    warnings: tuple[str, ...] = ()

    def add_to(self, summary: Summary) -> Summary:
        """Return the summary with the tokens and the warnings of the choice."""
        return replace(
            summary,
            prompt_tokens=summary.prompt_tokens + self.prompt_tokens,
            completion_tokens=summary.completion_tokens + self.completion_tokens,
            warnings=[*summary.warnings, *self.warnings],
        )


async def choose_template(
    request: SummaryRequest, recording: RecordingWindows, generator: TextGenerator, model: ModelInfo
) -> TemplateChoice:
    """Choose one of the request's candidates by the first window of the recording.

    Args:
        request: The request, with the background of its caller.
        recording: The windows in which the recording is read, at least one.
        generator: Generates the answer.
        model: The model that answers.

    Raises:
        ServiceError: The engine failed, or the chosen template's schema cannot be used.
    """
    (generation_request,) = await recording.read_with(0, [_choice_request(request, model)])
    try:
        answer = await generator.generate(generation_request)
    except TooLarge:
        return TemplateChoice(
            request,
            warnings=(
                f"No template was chosen: the recording and the descriptions of {len(request.template_candidates)} "
                "templates are more than the model reads at once. Name one.",
            ),
        )
    finished = answer.finished
    tokens = finished.prompt_tokens, finished.completion_tokens
    if finished.finish_reason in _NOTHING_HEARD:
        return TemplateChoice(request, *tokens)
    name = _parse_name(answer.text)
    chosen = next((one for one in request.template_candidates if one.name == name), None)
    if chosen is not None:
        return TemplateChoice(apply_template(request, chosen), *tokens)
    fault = "fits the recording, by the model's answer" if name == NONE else "was named in the model's answer"
    return TemplateChoice(request, *tokens, (f"template={AUTO}: no template {fault}, so none is applied.",))


def _choice_request(request: SummaryRequest, model: ModelInfo) -> GenerationRequest:
    kinds = {one.name: " ".join(one.content.description.split()) for one in request.template_candidates}
    kinds[NONE] = "None of these."
    lines = "\n".join(f"- {name}: {description}" for name, description in kinds.items())
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {_FIELD: {"enum": list(kinds)}},
        "required": [_FIELD],
        "additionalProperties": False,
    }
    return GenerationRequest(
        request_id=f"{request.id}-template",
        samples=None,
        instruction=request.background.introduce(
            f"What kind of recording is this? The kinds are:\n{lines}\n"
            f'Answer as one JSON object with the name of the kind: {{"{_FIELD}": "name"}}'
        ),
        max_tokens=CHOICE_TOKENS,
        schema=schema if model.trained else with_spaces(schema),
        priority=request.priority,
        cache_salt=request.owner,
        adapter=request.adapter,
        system=request.background.extend_system(SYSTEM_PROMPT if model.trained else UNTRAINED_STRUCTURED_SYSTEM_PROMPT),
        vocabulary=request.background.vocabulary,
    )


def _parse_name(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value.get(_FIELD) if isinstance(value, dict) else None
