"""Verifies webhooks: the signature of Standard Webhooks (https://www.standardwebhooks.com), as the service makes it.

Knows nothing about HTTP frameworks: it takes the headers and the raw body of a request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import ValidationError

from speechsum_client.answer_parts import AnswerModel
from speechsum_client.answers import JobInfo
from speechsum_client.errors import InvalidAnswer, WebhookNotVerified

SECRET_PREFIX = "whsec_"
SIGNATURE_VERSION = "v1"
TOLERANCE_SECONDS = 300.0
MAX_TIMESTAMP_DIGITS = 12


class WebhookEvent(AnswerModel):
    """What a webhook tells: a job has ended.

    id: the same at every try of a delivery, so that a receiver notices one that comes twice. type: `audio.summary.job.`
    and the job's state. data: the job with its summary or its error.
    """

    id: str = ""
    type: str
    timestamp: datetime
    data: JobInfo


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes | str,
    secret: str | Iterable[str],
    *,
    tolerance_s: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> WebhookEvent:
    """Return the event of a webhook that was signed with the secret.

    Args:
        headers: Those of the request, in upper or lower case.
        body: The raw body of the request, before anything has parsed it.
        secret: The secret, `whsec_…`; during a rotation several, of which one is enough.
        tolerance_s: How far the time of the delivery may be from now, in seconds, in both directions.
        now: Unix time; the clock's if None.

    Raises:
        WebhookNotVerified: A header is missing or malformed, the delivery is too old or too new, or no signature fits.
        InvalidAnswer: The body is signed, but is not what a webhook of this service says.
        ValueError: A secret is malformed.
    """
    keys = [_secret_bytes(text) for text in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ValueError("no secret is given")
    lowered = {name.lower(): value for name, value in headers.items()}
    id_, timestamp, signatures = (_header(lowered, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_TIMESTAMP_DIGITS):
        raise WebhookNotVerified("The header webhook-timestamp is not a Unix time.")
    raw = body.encode() if isinstance(body, str) else bytes(body)
    content = f"{id_}.{timestamp}.".encode() + raw
    expected = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()) for key in keys]
    versions = (one.partition(",") for one in signatures.split())
    given = [signature.encode() for version, _, signature in versions if version == SIGNATURE_VERSION]
    # All pairs are compared, each in constant time, so that the time tells nothing about the signatures.
    fits = [hmac.compare_digest(mine, theirs) for mine in expected for theirs in given]
    if not any(fits):
        raise WebhookNotVerified("No signature of the webhook fits the secret.")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance_s:
        raise WebhookNotVerified(f"The webhook was sent more than {tolerance_s:g} s before or after now.")
    try:
        event = WebhookEvent.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidAnswer(f"The webhook is signed, but it is not about a job: {error}") from error
    event.id = id_
    return event


def _header(headers: Mapping[str, str], name: str) -> str:
    if not headers.get(name):
        raise WebhookNotVerified(f"The header {name} is missing.")
    return headers[name]


def _secret_bytes(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:  # anybody could sign with an empty one
        raise ValueError("a webhook's secret must be whsec_ followed by base64")
    return key
