"""Schemas and answers are processed in worker processes, and a task that takes too long is ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.core.errors import InvalidRequest
from app.summarize.structured import schema_workers
from app.summarize.structured.schema_workers import SchemaWorkers
from tests.app.failing_tasks import dies, fails, never_ends

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLAIN = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers() -> AsyncIterator[SchemaWorkers]:
    made = SchemaWorkers(0.2)
    yield made
    await made.stop()
    await made.stop()


async def test_a_schema_is_tried_and_an_answer_read() -> None:
    made = SchemaWorkers(60)
    await made.check_schema(PLAIN, "json_schema")
    with pytest.raises(InvalidRequest, match="json_schema: the schema cannot be enforced") as caught:
        await made.check_schema({"type": "object", "properties": {"a": {"not": {}}}}, "json_schema")
    assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "json_schema")
    assert await made.parse_answer('{"a": "b"}', PLAIN) == ({"a": "b"}, None)
    await made.stop()


@pytest.mark.parametrize("work", [never_ends, dies, fails])
async def test_what_does_not_end_well_is_refused_and_never_tried_again(
    workers: SchemaWorkers, monkeypatch: pytest.MonkeyPatch, work: Any
) -> None:
    monkeypatch.setattr(schema_workers, "enforcement_error", work)
    monkeypatch.setattr(schema_workers, "parse_answer", work)
    with pytest.raises(InvalidRequest) as caught:
        await workers.check_schema({**PLAIN, "title": work.__name__}, "json_schema")
    assert caught.value.retry_after_s is None
    value, fault = await workers.parse_answer("{}", PLAIN)
    assert value is None
    assert "could not be checked" in (fault or "")
    if work is never_ends:
        assert "SPEECHSUM_LIMITS__SCHEMA_SECONDS" in caught.value.message + (fault or "")


async def test_the_event_loop_goes_on_meanwhile(workers: SchemaWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_workers, "parse_answer", never_ends)
    reading = asyncio.create_task(workers.parse_answer("{}", PLAIN))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 3


async def test_leaving_ends_the_work(workers: SchemaWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_workers, "enforcement_error", never_ends)
    slow = SchemaWorkers(3600)
    leaving = [asyncio.create_task(slow.check_schema({**PLAIN, "title": str(n)}, "x")) for n in range(4)]
    await asyncio.sleep(0.1)
    for one in leaving:
        one.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    monkeypatch.undo()
    await asyncio.wait_for(slow.check_schema(PLAIN, "x"), 30)
    await slow.stop()


async def test_a_schema_that_was_accepted_is_not_tried_again(
    workers: SchemaWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SchemaWorkers(60)
    await made.check_schema(PLAIN, "x")
    await made.stop()
    monkeypatch.setattr(schema_workers, "enforcement_error", dies)
    await made.check_schema(dict(PLAIN), "x")
