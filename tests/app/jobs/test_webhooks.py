"""Webhooks, sent to a real server and verified as a receiver does it: by the library of Standard Webhooks. The
signature itself is compared with the example in the specification.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook, WebhookVerificationError

from app.database.tables import DELIVERIES
from app.fetch.poster import Poster
from app.jobs.store import SUCCEEDED, JobStore
from app.jobs.webhooks import WebhookSender, signature_headers
from app.keys.webhook_secrets import WebhookSecrets, parse_secret, service_secrets
from app.settings import WebhookSettings
from tests.app.jobs.job_rows import deliveries, queue
from tests.app.jobs.webhook_receiver import SECRET, Receiver, receiving
from tests.app.running_service import until


@dataclass
class Post:
    """Jobs whose ends are told by a sender at work, and what it sends to."""

    store: JobStore
    receiver: Receiver

    secrets: WebhookSecrets
    sender: WebhookSender

    async def finish_job(self, url: str = "", owner: str = "") -> str:
        """A job that has ended and wants that told; returns its id."""
        id_ = await queue(self.store, webhook=url or self.receiver.url, owner=owner, caller=owner)
        job = await self.store.claim("me")
        assert job is not None
        await self.store.finish(job, SUCCEEDED, result={"summary": "ü"})
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
    given = WebhookSettings.model_validate({"secret": SECRET, "delays": [0.01, 0.02], "seconds": 5} | settings)
    secrets = WebhookSecrets(database, service_secrets(given))
    poster = Poster(["127.0.0.1", "localhost"], given.seconds)
    sender = WebhookSender(database, given, secrets, poster, poll_s=0.02)
    store.on_finished = lambda _: sender.wakeup.set()
    task = asyncio.create_task(sender.run())
    try:
        yield Post(store, receiver, secrets, sender)
    finally:
        task.cancel()
        await asyncio.wait({task})
        poster.close()


async def test_a_receiver_can_verify_a_webhook(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver) as post:
        await post.finish_job()
        row = await post.until_state("delivered")
        (got,) = receiver.got
        assert Webhook(SECRET).verify(got.body, got.headers) == {"type": "succeeded", "data": {"summary": "ü"}}
        assert got.headers["webhook-id"] == row["id"]
        assert row["said"] == "status 200"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(got.body.replace(b"succeeded", b"failed"), got.headers)


async def test_it_comes_again_with_the_same_id_until_it_is_heard(database: AsyncEngine) -> None:
    async with receiving(500, 404) as receiver, posting(database, receiver) as post:
        await post.finish_job()
        row = await post.until_state("delivered")
        assert row["attempt"] == 3
        assert {got.headers["webhook-id"] for got in receiver.got} == {row["id"]}
        assert len({got.body for got in receiver.got}) == 1


async def test_it_is_dead_after_the_last_try_and_says_what_was_met(database: AsyncEngine) -> None:
    async with receiving(*[503] * 9) as receiver, posting(database, receiver) as post:
        await post.finish_job()
        row = await post.until_state("dead")
        assert (row["attempt"], row["said"]) == (3, "status 503")
        await asyncio.sleep(0.1)
        assert len(receiver.got) == 3


async def test_who_says_410_is_not_asked_again(database: AsyncEngine) -> None:
    async with receiving(410) as receiver, posting(database, receiver) as post:
        await post.finish_job()
        assert (await post.until_state("dead"))["attempt"] == 1


async def test_a_redirect_is_no_answer_and_is_not_followed(database: AsyncEngine) -> None:
    async with receiving(307, 307, 307) as receiver, posting(database, receiver) as post:
        await post.finish_job()
        row = await post.until_state("dead")
        assert row["said"] == "status 307"
        assert {got.path for got in receiver.got} == {"/hook"}


async def test_a_server_that_answers_nothing_or_is_not_there_holds_nobody_up(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver, seconds=0.1, delays=[]) as post:
        receiver.delay_s = 5
        await post.finish_job()
        assert (await post.until_state("dead"))["said"] == "no answer within 0.1 s"
    async with receiving() as gone:
        pass
    async with posting(database, gone, delays=[]) as post:
        await post.finish_job()
        await until_all_settled(post)
        assert any("ConnectError" in str(row["said"]) for row in await deliveries(post.store))


async def test_two_senders_send_each_only_once(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver) as post, posting(database, receiver):
        for _ in range(12):
            await post.finish_job()
        await until_all_settled(post)
        ids = [got.headers["webhook-id"] for got in receiver.got]
        assert len(ids) == len(set(ids)) == 12


async def test_the_secret_of_a_key_signs_for_its_jobs_alone(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver) as post:
        of_anna = await post.secrets.rotate("anna", 0)
        jobs = {await post.finish_job(owner=owner): owner for owner in ("anna", "bob")}
        await until_all_settled(post)
        for got, row in zip(receiver.got, await by_id(post, receiver), strict=True):
            right, wrong = (of_anna, SECRET) if jobs[str(row["job"])] == "anna" else (SECRET, of_anna)
            assert Webhook(right).verify(got.body, got.headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(wrong).verify(got.body, got.headers)


async def test_while_a_secret_is_changed_both_are_good(database: AsyncEngine) -> None:
    async with receiving() as receiver, posting(database, receiver) as post:
        old = await post.secrets.rotate("anna", 0)
        new = await post.secrets.rotate("anna", 3600)
        await post.finish_job(owner="anna")
        await until_all_settled(post)
        newest = await post.secrets.rotate("anna", 0)
        await post.finish_job(owner="anna")
        await until_all_settled(post)
        during, after = receiver.got
        for secret in (old, new):
            assert Webhook(secret).verify(during.body, during.headers)
        assert Webhook(newest).verify(after.body, after.headers)
        assert Webhook(old).verify(after.body, after.headers), "its own hour is not over yet"
        with pytest.raises(WebhookVerificationError):
            Webhook(new).verify(after.body, after.headers)


async def test_the_services_own_secret_is_changed_likewise(database: AsyncEngine) -> None:
    before = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    async with receiving() as receiver, posting(database, receiver, previous_secret=before) as post:
        await post.finish_job()
        await until_all_settled(post)
        (got,) = receiver.got
        for secret in (SECRET, before):
            assert Webhook(secret).verify(got.body, got.headers)


async def test_receivers_that_hang_do_not_delay_one_that_answers(database: AsyncEngine) -> None:
    settings = {"seconds": 30, "at_once": 8, "per_host": 1}
    async with (
        receiving() as hanging,
        receiving() as other_hanging,
        receiving() as third_hanging,
        receiving() as healthy,
        posting(database, healthy, **settings) as post,
    ):
        for receiver in (hanging, other_hanging, third_hanging):
            receiver.delay_s = 60
            for _ in range(5):
                await post.finish_job(receiver.url)
        for _ in range(3):
            await post.finish_job()
        await until(lambda: len(healthy.got) == 3, seconds=10)
        assert [len(one.got) for one in (hanging, other_hanging, third_hanging)] == [1, 1, 1]


async def test_many_receivers_of_one_caller_that_hang_leave_places_for_others(database: AsyncEngine) -> None:
    async with (
        AsyncExitStack() as stack,
        receiving() as healthy,
        posting(database, healthy, seconds=30, at_once=4) as post,
    ):
        many = [await stack.enter_async_context(receiving()) for _ in range(5)]
        for receiver in many:
            receiver.delay_s = 60
            await post.finish_job(receiver.url, owner="many")
        await until(lambda: sum(len(one.got) for one in many) == 3, seconds=10)
        await post.finish_job(owner="healthy")
        await until(lambda: len(healthy.got) == 1, seconds=10)
        assert sum(len(one.got) for one in many) == 3


async def test_a_host_that_failed_is_left_alone_and_its_other_deliveries_lose_no_try(database: AsyncEngine) -> None:
    async with receiving(*[503] * 9) as receiver, posting(database, receiver, delays=[60, 60], per_host=1) as post:
        await asyncio.gather(*(post.finish_job() for _ in range(5)))
        await until(lambda: bool(post.sender.host_backoff.paused_hosts()), seconds=10)
        await asyncio.sleep(0.2)  # ten looks of the sender
        assert len(receiver.got) == 1
        assert sorted(row["attempt"] for row in await deliveries(post.store)) == [0, 0, 0, 0, 1]


async def test_what_waits_for_a_host_that_never_answers_is_given_up_in_the_end(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.webhooks.EXPIRY_CHECK_SECONDS", 0)
    async with receiving(*[503] * 9) as receiver, posting(database, receiver, delays=[60], per_host=1) as post:
        post.sender.max_age_s = -1
        await asyncio.gather(*(post.finish_job() for _ in range(3)))
        await until_all_settled(post)
        assert [row["state"] for row in await deliveries(post.store)] == ["dead"] * 3
        assert len(receiver.got) == 1


async def test_a_clock_that_is_set_back_delays_no_webhook(database: AsyncEngine) -> None:
    async with receiving(500) as receiver, posting(database, receiver, delays=[60]) as post:
        await post.finish_job()
        await until(lambda: len(receiver.got) == 1, seconds=30)
        for ahead_s, state in ((55, "pending"), (3600, "delivered")):
            async with database.begin() as connection:
                await connection.execute(update(DELIVERIES).values(due=time.time() + ahead_s))
            post.sender.wakeup.set()
            await asyncio.sleep(0.1)
            await post.until_state(state)


async def test_a_deleted_job_is_not_told_of(database: AsyncEngine) -> None:
    async with receiving(500) as receiver, posting(database, receiver, delays=[0.2]) as post:
        id_ = await post.finish_job()
        await until(lambda: bool(receiver.got), seconds=10)
        await post.store.delete(id_, "")
        await asyncio.sleep(0.4)
        assert len(receiver.got) == 1


def test_the_signature_is_the_standards_own_example() -> None:
    secret = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "")
    body = '{"test": 2432232314}'
    headers = signature_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("name", ["secret", "previous_secret"])
@pytest.mark.parametrize("secret", ["whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!", "x"])
def test_a_secret_that_is_none_is_refused(name: str, secret: str) -> None:
    with pytest.raises(ValueError, match=f"SPEECHSUM_WEBHOOKS__{name.upper()}"):
        service_secrets(WebhookSettings(**{name: SecretStr(secret)}))  # type: ignore[arg-type]


async def by_id(post: Post, receiver: Receiver) -> list[dict[str, object]]:
    """The rows of what was received, in that order."""
    rows = {row["id"]: row for row in await deliveries(post.store)}
    return [rows[got.headers["webhook-id"]] for got in receiver.got]


async def until_all_settled(post: Post) -> None:
    began = time.monotonic()
    while not (rows := await deliveries(post.store)) or any(row["state"] == "pending" for row in rows):
        assert time.monotonic() - began < 10, rows
        await asyncio.sleep(0.02)
