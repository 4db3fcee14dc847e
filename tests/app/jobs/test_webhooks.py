"""Webhooks, sent to a real server and checked by another implementation of Standard Webhooks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook, WebhookVerificationError

from app.fetch.post import Poster
from app.jobs.store import SUCCEEDED, JobStore
from app.jobs.webhooks import Sender, secret_of, signed
from app.settings import WebhookSettings
from tests.app.jobs.receiver import SECRET, Receiver, receiving
from tests.app.jobs.rows import deliveries, queue


@dataclass
class Post:
    """Jobs whose ends are told by a sender at work, and what it sends to."""

    store: JobStore
    receiver: Receiver

    async def ended(self) -> str:
        """A job that has ended and wants that told; returns its id."""
        id_ = await queue(self.store, webhook=self.receiver.url)
        job = await self.store.claim("me", 30)
        assert job is not None
        await self.store.end(job, SUCCEEDED, result={"summary": "ü"})
        return id_

    async def until_state(self, state: str) -> dict[str, object]:
        """Wait until the only webhook is so; returns its row."""
        for _ in range(400):
            (row,) = await deliveries(self.store)
            if row["state"] == state:
                return row
            await asyncio.sleep(0.01)
        raise AssertionError(row)


@asynccontextmanager
async def posting(database: AsyncEngine, receiver: Receiver, **settings: object) -> AsyncIterator[Post]:
    store = JobStore(database, 60, lambda job: json.dumps({"type": job.state, "data": job.result}))
    given = WebhookSettings.model_validate({"secret": SECRET, "delays": [0.01, 0.02], "seconds": 1} | settings)
    secret = secret_of(given)
    assert secret is not None
    poster = Poster(["127.0.0.1"], given.seconds)
    task = asyncio.create_task(Sender(database, given, secret, poster, poll_s=0.02).run())
    try:
        yield Post(store, receiver)
    finally:
        task.cancel()
        await asyncio.wait({task})
        poster.close()


async def test_a_webhook_is_signed_so_that_another_library_takes_it(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver) as post:
        await post.ended()
        row = await post.until_state("delivered")
        (got,) = receiver.got
        assert Webhook(SECRET).verify(got.body, got.headers) == {"type": "succeeded", "data": {"summary": "ü"}}
        assert got.headers["webhook-id"] == row["id"]
        assert row["said"] == "status 200"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(got.body.replace(b"succeeded", b"failed"), got.headers)


async def test_it_comes_again_with_the_same_id_until_it_is_heard(database: AsyncEngine) -> None:
    async with receiving(500, 404) as receiver, posting(database, receiver) as post:
        await post.ended()
        row = await post.until_state("delivered")
        assert row["attempt"] == 3
        assert {got.headers["webhook-id"] for got in receiver.got} == {row["id"]}
        assert len({got.body for got in receiver.got}) == 1


async def test_it_is_dead_after_the_last_try_and_says_what_was_met(database: AsyncEngine) -> None:
    async with receiving(*[503] * 9) as receiver, posting(database, receiver) as post:
        await post.ended()
        row = await post.until_state("dead")
        assert (row["attempt"], row["said"]) == (3, "status 503")
        await asyncio.sleep(0.1)
        assert len(receiver.got) == 3


async def test_who_says_410_is_not_asked_again(database: AsyncEngine) -> None:
    async with receiving(410) as receiver, posting(database, receiver) as post:
        await post.ended()
        assert (await post.until_state("dead"))["attempt"] == 1


async def test_a_redirect_is_no_answer_and_is_not_followed(database: AsyncEngine) -> None:
    async with receiving(307, 307, 307) as receiver, posting(database, receiver) as post:
        await post.ended()
        row = await post.until_state("dead")
        assert row["said"] == "status 307"
        assert {got.path for got in receiver.got} == {"/hook"}


async def test_a_server_that_answers_nothing_or_is_not_there_holds_nobody_up(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver, seconds=0.1, delays=[]) as post:
        receiver.delay_s = 5
        await post.ended()
        assert (await post.until_state("dead"))["said"] == "no answer within 0.1 s"
    async with receiving() as gone:
        pass
    async with posting(database, gone, delays=[]) as post:
        await post.ended()
        await until_all_settled(post)
        assert any("ConnectError" in str(row["said"]) for row in await deliveries(post.store))


async def test_two_senders_send_each_only_once(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver) as post, posting(database, receiver):
        for _ in range(12):
            await post.ended()
        await until_all_settled(post)
        ids = [got.headers["webhook-id"] for got in receiver.got]
        assert len(ids) == len(set(ids)) == 12


def test_the_signature_is_the_standards_own_example() -> None:
    secret = secret_of(WebhookSettings(secret=SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")))
    assert secret is not None
    body = '{"test": 2432232314}'
    headers = signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!", "x"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="SPEECHSUM_WEBHOOKS__SECRET"):
        secret_of(WebhookSettings(secret=SecretStr(secret)))


async def until_all_settled(post: Post) -> None:
    began = time.monotonic()
    while not (rows := await deliveries(post.store)) or any(row["state"] == "pending" for row in rows):
        assert time.monotonic() - began < 10, rows
        await asyncio.sleep(0.02)
