"""Webhooks: against the `standardwebhooks` package, and as the real service sends them."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from speechsum_client import AsyncClient, InvalidAnswer, WebhookNotVerified, verify_webhook
from standardwebhooks import Webhook, WebhookVerificationError

from app.jobs.webhooks import signature_headers
from tests.app.jobs.webhook_receiver import SECRET, receiving
from tests.app.running_service import serving, until, wav
from tests.clients.python.faulty_server import JOB, SUMMARY

OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes or so").decode()
BODY = json.dumps(
    {
        "type": "audio.summary.job.succeeded",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "data": {**JOB, "state": "succeeded", "summary": SUMMARY},
        "later": "more",
    }
)


def sign(body: str = BODY, secret: str = SECRET, id_: str = "msg_1", at: float | None = None) -> dict[str, str]:
    """The headers of a delivery, signed by the `standardwebhooks` package."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(id_, moment, body),
    }


def accepts(headers: dict[str, str], body: str, secret: str) -> tuple[bool, bool]:
    """Whether this package and `standardwebhooks` take a delivery for one that was signed."""
    found: list[bool] = []
    for verify, refusal in (
        (lambda: verify_webhook(headers, body, secret), WebhookNotVerified),
        (lambda: Webhook(secret).verify(body, headers), WebhookVerificationError),
    ):
        try:
            verify()
        except refusal:
            found.append(False)
        else:
            found.append(True)
    return found[0], found[1]


def test_a_signed_webhook_is_read() -> None:
    event = verify_webhook(sign(), BODY.encode(), SECRET)
    assert (event.id, event.type, event.timestamp.year) == ("msg_1", "audio.summary.job.succeeded", 2026)
    assert event.data.summary is not None
    assert (event.data.state, event.data.summary.summary) == ("succeeded", "Anna pays.")
    assert event.model_extra == {"later": "more"}
    assert verify_webhook({name.title(): value for name, value in sign().items()}, BODY, SECRET) == event


def cases(now: float) -> dict[str, tuple[dict[str, str], str, bool]]:
    """Deliveries by what is wrong with them: what differs in the headers, the body, and whether they fit."""
    right, other = sign(at=now)["webhook-signature"], sign(at=now, secret=OTHER)["webhook-signature"]
    return {
        "as it is": ({}, BODY, True),
        "another body": ({}, BODY.replace("pays", "owes"), False),
        "another id": ({"webhook-id": "msg_2"}, BODY, False),
        "another time": ({"webhook-timestamp": str(int(now) - 20)}, BODY, False),
        "no signature": ({"webhook-signature": ""}, BODY, False),
        "no id": ({"webhook-id": ""}, BODY, False),
        "no time": ({"webhook-timestamp": ""}, BODY, False),
        "a time that is none": ({"webhook-timestamp": "soon"}, BODY, False),
        "another version": ({"webhook-signature": right.replace("v1,", "v2,")}, BODY, False),
        "several signatures": ({"webhook-signature": f"v1,AAAA v1a,BBBB {right}"}, BODY, True),
        "another secret": ({"webhook-signature": other}, BODY, False),
        "both secrets": ({"webhook-signature": f"{other} {right}"}, BODY, True),
        "too old": (sign(at=now - 360), BODY, False),
        "too new": (sign(at=now + 360), BODY, False),
        "a little old": (sign(at=now - 200), BODY, True),
    }


@pytest.mark.parametrize("case", list(cases(0)))
def test_the_verdict_is_that_of_the_reference(case: str) -> None:
    now = time.time()
    changes, body, fits = cases(now)[case]
    assert accepts({**sign(at=now), **changes}, body, SECRET) == (fits, fits)


def test_during_a_rotation_each_secret_fits() -> None:
    # The service signs with both; receivers know the old one, the new one, or both.
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in (OTHER, SECRET)]
    headers = signature_headers(keys, "msg_1", int(time.time()), BODY)
    for secrets in (SECRET, OTHER, [SECRET, OTHER], (OTHER,)):
        assert verify_webhook(headers, BODY, secrets).id == "msg_1"
    only_new = signature_headers(keys[:1], "msg_1", int(time.time()), BODY)
    assert verify_webhook(only_new, BODY, [SECRET, OTHER]).id == "msg_1"
    with pytest.raises(WebhookNotVerified):
        verify_webhook(only_new, BODY, SECRET)


def test_the_tolerance_can_be_moved() -> None:
    headers = sign(at=1_000_000_000)
    assert verify_webhook(headers, BODY, SECRET, now=1_000_000_300).id == "msg_1"
    for now in (1_000_000_301, 999_999_699, None):
        with pytest.raises(WebhookNotVerified, match="300 s"):
            verify_webhook(headers, BODY, SECRET, now=now)
    assert verify_webhook(headers, BODY, SECRET, now=1_000_003_600, tolerance_s=3600).id == "msg_1"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_no base64!", [], [""], [SECRET, ""]])
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    # Anybody could sign with an empty secret, for example one whose environment variable is not set.
    with pytest.raises(ValueError, match="secret"):
        verify_webhook(sign(), BODY, secret)


def test_a_signed_body_that_is_about_no_job_is_told() -> None:
    for body in ("{}", "no JSON", '{"type": "x", "timestamp": "2026-01-01T00:00:00Z", "data": {}}'):
        with pytest.raises(InvalidAnswer):
            verify_webhook(sign(body), body, SECRET)


async def test_what_the_service_sends_is_verified() -> None:
    hooks = {"secret": SECRET, "private_hosts": "127.0.0.1"}
    async with receiving() as receiver, serving(webhooks=hooks) as site:
        async with AsyncClient(f"http://127.0.0.1:{site.port}") as client:
            job = await client.create_job(wav(), webhook_url=receiver.url)
            summary = await job.wait(timeout=60)
        await until(lambda: bool(receiver.got), seconds=30)
    got = receiver.got[0]
    event = verify_webhook(got.headers, got.body, SECRET)
    assert (event.type, event.data.id, event.data.summary) == ("audio.summary.job.succeeded", job.id, summary)
    with pytest.raises(WebhookNotVerified):
        verify_webhook(got.headers, got.body, OTHER)
