"""The clients' methods for templates, against the real service."""

from typing import Any

import pytest
from pydantic import BaseModel
from speechsum_client import Conflict, InvalidRequest, NotFound

from tests.app.running_service import wav

NAME = "pitch_of_a_client"


class Pitch(BaseModel):
    """What a pitch says."""

    price: str


def test_a_template_is_created_used_replaced_and_deleted(service: Any) -> None:
    made = service.create_template(
        NAME, "A pitch.", "Say what is asked for.", json_schema=Pitch, length=60, style="bullets"
    )
    assert (made.name, made.built_in, made.length, made.style) == (NAME, False, "60", "bullets")
    assert made.json_schema["additionalProperties"] is False
    assert service.template(NAME) == made
    assert [one.name for one in service.templates()][-1] == NAME
    assert service.summarize(wav(), template=NAME).template == NAME
    assert "Say what is asked for." in service.ask(wav(), "Who pays?", template=NAME).summary.style.instruction
    assert service.create_job(wav(), template=NAME).wait(60).template == NAME
    changed = service.replace_template(NAME, "A pitch.", "Name the price.")
    assert (changed.instruction, changed.json_schema, changed.created) == ("Name the price.", None, made.created)
    service.delete_template(NAME)
    with pytest.raises(NotFound, match=NAME):
        service.summarize(wav(), template=NAME)


def test_the_built_in_ones_are_there_and_stay(service: Any) -> None:
    assert {one.name for one in service.templates() if one.built_in} >= {"meeting_minutes", "voicemail"}
    with pytest.raises(Conflict, match="built-in"):
        service.delete_template("voicemail")
    with pytest.raises(InvalidRequest):
        service.create_template("auto", "A pitch.", "Name the price.")
