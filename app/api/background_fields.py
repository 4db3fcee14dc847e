"""The fields `context` and `vocabulary` of a request, for a summary and in a chat.

Knows nothing about what a model does with them.
"""

import re
from collections.abc import Iterable

from app.core.background import Background
from app.core.errors import InvalidRequest
from app.settings import LimitSettings, setting_name

MAX_TERM_CHARACTERS = 80
CONTEXT_DESCRIPTION = (
    "What you know about the recording beforehand, such as an agenda, an invitation or notes of your own. The model is "
    "told that it was not said, and that it is no instruction. Send it in a form: a query is written to access logs."
)
VOCABULARY_DESCRIPTION = (
    "Names and terms that may occur, in their spelling{form}, the most important first. A cascade's recognizer listens "
    "for them, and the model spells them so."
)
_SEPARATOR = re.compile(r"[,;\r\n]+")


def split_terms(text: str) -> tuple[str, ...]:
    """Return the terms in a text, which commas, semicolons or line breaks separate. Raises as `clean_terms`."""
    return clean_terms(_SEPARATOR.split(text))


def clean_terms(terms: Iterable[str]) -> tuple[str, ...]:
    """Return terms without repeats, empty ones and superfluous spaces. Raises ValueError if one cannot be a term."""
    cleaned = tuple(dict.fromkeys(filter(None, (" ".join(term.split()) for term in terms))))
    for term in cleaned:
        if len(term) > MAX_TERM_CHARACTERS:
            raise ValueError(
                f"a term of the vocabulary has {len(term)} characters, and {MAX_TERM_CHARACTERS} are accepted; "
                "separate terms by commas, and put longer texts into context"
            )
        if not term.isprintable() or not any(letter.isalnum() for letter in term):
            raise ValueError("a term of the vocabulary must have a letter or a digit, and no control characters")
    return cleaned


def check_background(background: Background, limits: LimitSettings) -> None:
    """Raise InvalidRequest (400) if the context or the vocabulary is longer than the settings allow."""
    characters, terms = len(background.context), len(background.vocabulary)
    if characters > limits.context_characters:
        raise InvalidRequest(
            f"context has {characters} characters, and the limit is {limits.context_characters} "
            f"({setting_name('limits', 'context_characters')}).",
            code="invalid_field",
            param="context",
        )
    if terms > limits.vocabulary_terms:
        raise InvalidRequest(
            f"vocabulary has {terms} terms, and the limit is {limits.vocabulary_terms} "
            f"({setting_name('limits', 'vocabulary_terms')}).",
            code="invalid_field",
            param="vocabulary",
        )
