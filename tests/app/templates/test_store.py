"""Templates in the database: by owner, bounded, and apart from the built-in ones."""

import asyncio

import pytest
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.errors import Conflict, InvalidRequest, NotFound
from app.templates.builtin import BUILTIN_TEMPLATES
from app.templates.store import TemplateStore
from app.templates.template import TemplateContent

PITCH = TemplateContent(description="A pitch.", instruction="Say what is asked for", length="about 60 words")


@pytest.fixture
def store(database: AsyncEngine) -> TemplateStore:
    made = TemplateStore(max_per_owner=3)
    made.connect(database)
    return made


async def test_a_template_is_found_by_its_owner_alone(store: TemplateStore) -> None:
    made = await store.create("anna", "pitch", PITCH)
    assert await store.get("anna", "pitch") == made
    assert made.content.length == "60"
    for other in ("bob", ""):
        with pytest.raises(NotFound, match="pitch") as refused:
            await store.get(other, "pitch", param="template")
        assert refused.value.param == "template"
        assert all(name in refused.value.message for name in (*BUILTIN_TEMPLATES, "auto"))
        with pytest.raises(NotFound):
            await store.delete(other, "pitch")
        with pytest.raises(NotFound):
            await store.replace(other, "pitch", PITCH)


async def test_a_template_is_replaced_as_a_whole_and_deleted(store: TemplateStore) -> None:
    made = await store.create("anna", "pitch", PITCH)
    other = TemplateContent(description="Another pitch.", instruction="Say who pays.", json_schema={"type": "object"})
    changed = await store.replace("anna", "pitch", other)
    assert await store.get("anna", "pitch") == changed
    assert (changed.content, changed.created) == (other, made.created)
    assert (changed.updated or 0) >= (made.updated or 0)
    await store.delete("anna", "pitch")
    with pytest.raises(NotFound):
        await store.get("anna", "pitch")


async def test_the_built_in_ones_come_first_and_cannot_be_changed(store: TemplateStore) -> None:
    for name in ("b", "a"):
        await store.create("anna", name, PITCH)
    assert [one.name for one in await store.list_templates("anna")] == [*BUILTIN_TEMPLATES, "a", "b"]
    assert (await store.get("bob", "voicemail")).is_builtin
    for change in (
        store.create("anna", "voicemail", PITCH),
        store.replace("anna", "voicemail", PITCH),
        store.delete("anna", "voicemail"),
    ):
        with pytest.raises(Conflict, match="built-in"):
            await change


@pytest.mark.parametrize("name", ["", "Pitch", "1st", "a b", "a-b", "a" * 65, "auto", "none", "pitch\n", "pítch"])
async def test_a_name_that_makes_no_sense_is_refused(store: TemplateStore, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        await store.create("anna", name, PITCH)
    with pytest.raises(NotFound):
        await store.get("anna", name)


async def test_an_owner_has_as_many_as_the_setting_says(store: TemplateStore) -> None:
    made = await asyncio.gather(
        *(store.create("anna", f"pitch_{number}", PITCH) for number in range(5)), return_exceptions=True
    )
    refused = [one for one in made if isinstance(one, Conflict)]
    assert [one.code for one in refused] == ["too_many_templates"] * 2
    assert "SPEECHSUM_LIMITS__TEMPLATES" in refused[0].message


async def test_a_repeat_is_the_same_template_and_another_one_of_the_name_is_refused(store: TemplateStore) -> None:
    made = await store.create("bob", "pitch", PITCH)
    assert await store.create("bob", "pitch", PITCH) == made
    with pytest.raises(Conflict, match="already"):
        await store.create("bob", "pitch", PITCH.model_copy(update={"instruction": "Another."}))
    assert await store.get("bob", "pitch") == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", " "),
        ("description", "x" * 201),
        ("instruction", ""),
        ("instruction", "x" * 2001),
        ("length", "endless"),
        ("length", 60),
        ("language", "klingon-language"),
        ("style", "haiku"),
        ("focus", "x" * 301),
        ("json_schema", []),
        ("colour", "red"),
    ],
)
def test_what_a_request_could_not_ask_a_template_cannot(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        TemplateContent.model_validate({"description": "A pitch.", "instruction": "Go.", field: value})
    assert [error["loc"][0] for error in refused.value.errors()] == [field]
