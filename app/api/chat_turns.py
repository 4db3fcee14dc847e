"""A chat's messages as a conversation about one recording: the earlier exchanges, and the question that is asked now.

What stands behind the last answer is the question; what was asked and answered before is its context. An answer is the
caller's material, as the recording is: it reaches the model as its own earlier turn. Knows nothing about the shape of
requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from app.core import prompts
from app.core.errors import InvalidRequest
from app.core.prompts import Style, Turn

MAX_ANSWER_CHARACTERS = 32_000


class PlainMessage(NamedTuple):
    """One message. answer: whether it is the assistant's. recording: whether it holds the recording."""

    text: str
    from_assistant: bool = False
    has_recording: bool = False


@dataclass(frozen=True)
class Conversation:
    """turns: the earlier exchanges, in order. question: what is asked now; empty where only the recording was sent."""

    turns: tuple[Turn, ...] = ()
    question: str = ""


@dataclass
class _Question:
    """What was asked since the last answer."""

    texts: list[str] = field(default_factory=list)
    has_recording: bool = False

    def __bool__(self) -> bool:
        return bool(self.texts or self.has_recording)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def parse_conversation(messages: Iterable[PlainMessage]) -> Conversation:
    """The messages as turns. Raises InvalidRequest (400) if nothing is asked, or if the answers are too long together.

    Instructions and questions that follow one another are one question. An answer without words is as good as none.
    """
    turns: list[Turn] = []
    asked = _Question()
    last = PlainMessage("")
    for last in messages:
        text = last.text.strip()
        if not last.from_assistant:
            asked.texts += [text] if text else []
            asked.has_recording = asked.has_recording or last.has_recording
        elif text and (asked or not turns):
            turns.append(Turn(asked.text or prompts.instruction(Style()), text, asked.has_recording))
            asked = _Question()
        elif text:  # several answers in a row
            before = turns.pop()
            turns.append(Turn(before.question, f"{before.answer}\n{text}", before.has_recording))
    if last.from_assistant:
        raise _messages_error("The last message is the assistant's. End with a user message that says what to do next")
    if turns and not asked:
        raise _messages_error("The last user message is empty. Say what to do next")
    answered = sum(len(turn.answer) for turn in turns)
    if answered > MAX_ANSWER_CHARACTERS:
        raise _messages_error(
            f"The assistant messages have {answered} characters together, the most is {MAX_ANSWER_CHARACTERS}"
        )
    return Conversation(tuple(turns), asked.text)


def _messages_error(what: str) -> InvalidRequest:
    return InvalidRequest(f"{what}.", code="invalid_field", param="messages")
