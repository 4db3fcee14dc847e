"""The built-in templates are what a caller could have stored, and their schemas can be enforced."""

import pytest

from app.summarize.structured.output_format import schema_output_format
from app.summarize.structured.schema_tasks import enforcement_error
from app.templates.builtin import BUILTIN_TEMPLATES
from app.templates.template import Template, is_name

NAMES = ["meeting_minutes", "sales_call", "medical_handover", "lecture", "voicemail", "incident_review"]


def test_there_are_six() -> None:
    assert list(BUILTIN_TEMPLATES) == NAMES
    assert all(is_name(name) for name in BUILTIN_TEMPLATES)
    assert len({one.content.description for one in BUILTIN_TEMPLATES.values()}) == len(NAMES)


@pytest.mark.parametrize("template", BUILTIN_TEMPLATES.values(), ids=NAMES)
def test_its_schema_is_one_that_a_caller_may_send(template: Template) -> None:
    schema = template.content.json_schema
    assert schema is not None
    parsed = schema_output_format(schema, param="template").schema
    assert parsed is not None
    assert enforcement_error(parsed) is None
    assert set(schema["required"]) == set(schema["properties"])
