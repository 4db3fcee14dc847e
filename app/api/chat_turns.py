"""A chat's messages as a conversation about one recording: the earlier turns, and the question that is asked now.

The messages after the last answer are the question; everything before it is context. An answer is written by the
caller, like the recording, and must not pass for an instruction: it reaches the model as an earlier turn of its own.
Knows nothing about the shape of requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.core import prompts
from app.core.errors import InvalidRequest
from app.core.prompts import Style, Turn

MAX_ANSWER_CHARACTERS = 32_000


class PlainMessage(NamedTuple):
    """One message. from_assistant: whether it is an answer. has_recording: whether it holds the recording."""

    text: str
    from_assistant: bool = False
    has_recording: bool = False


@dataclass(frozen=True)
class Conversation:
    """A conversation. turns: the earlier questions with their answers, in order. question: what is asked now; empty if
    only the recording was sent.
    """

    turns: tuple[Turn, ...] = ()
    question: str = ""


@dataclass
class _Question:
    """What was asked since the last answer. It is false if nothing was."""

    texts: list[str] = field(default_factory=list)
    has_recording: bool = False

    def __bool__(self) -> bool:
        return bool(self.texts or self.has_recording)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def parse_conversation(messages: Iterable[PlainMessage]) -> Conversation:
    """Return the messages as turns and a question. Consecutive instructions and questions are one question, consecutive
    answers are one answer, and an empty answer is ignored.

    Raises: InvalidRequest (400) if no question follows the last answer, or if the answers are too long together.
    """
    turns: list[Turn] = []
    question = _Question()
    last = PlainMessage("")
    for last in messages:
        text = last.text.strip()
        if not last.from_assistant:
            question.texts += [text] if text else []
            question.has_recording = question.has_recording or last.has_recording
        elif text and (question or not turns):
            turns.append(Turn(question.text or prompts.instruction(Style()), text, question.has_recording))
            question = _Question()
        elif text:  # several answers in a row
            before = turns.pop()
            turns.append(Turn(before.question, f"{before.answer}\n{text}", before.has_recording))
    if last.from_assistant:
        raise _messages_error("The last message is the assistant's. End with a user message that says what to do next")
    if turns and not question:
        raise _messages_error("The last user message is empty. Say what to do next")
    characters = sum(len(turn.answer) for turn in turns)
    if characters > MAX_ANSWER_CHARACTERS:
        raise _messages_error(
            f"The assistant messages have {characters} characters together; at most {MAX_ANSWER_CHARACTERS} are "
            "accepted"
        )
    return Conversation(tuple(turns), question.text)


def _messages_error(message: str) -> InvalidRequest:
    return InvalidRequest(f"{message}.", code="invalid_field", param="messages")
