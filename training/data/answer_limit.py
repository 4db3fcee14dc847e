"""How many tokens an answer to a record may have: what the record's style allows, as in the service."""

from app.core.prompts import Style
from training.data.record import Record


def answer_limit(record: Record) -> int:
    """Return the tokens that the record's style allows: the service's own limit for the style, and the service's
    default for a record that has a query alone.
    """
    return Style(**(record.style or {})).max_tokens


def answer_limit_within(record: Record, max_answer_tokens: int) -> int:
    """Return the tokens that the answer may have: what its style allows, and no more than `max_answer_tokens` unless
    that is 0.
    """
    limit = answer_limit(record)
    return min(limit, max_answer_tokens or limit)
