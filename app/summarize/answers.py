"""The types of the answers to a request's questions, and of the events on the way to them.

Knows nothing about how an answer is made.
"""

from dataclasses import dataclass

from app.core.text.unsupported import Unsupported
from app.engine.base import FinishReason
from app.summarize.citations import Citation


@dataclass(frozen=True)
class Answer:
    """The answer to one question about the recording.

    Attributes:
        question: The question.
        text: The answer's text.
        finish_reason: Why the model stopped.
        citations: Where its sentences come from, if that is known.
        unsupported: The names and figures in it that were not heard. None if the model cannot say what it heard.
    """

    question: str
    text: str
    finish_reason: FinishReason
    citations: list[Citation]
    unsupported: list[Unsupported] | None = None


@dataclass(frozen=True)
class AnswerDelta:
    """The next piece of an answer's text. question_index: which question it answers, from 0."""

    text: str
    question_index: int


@dataclass(frozen=True)
class AnswerFinished:
    """An answer is complete. question_index: which question it answers, from 0."""

    answer: Answer
    question_index: int
