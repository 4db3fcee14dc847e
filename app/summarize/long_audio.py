"""A recording longer than one pass: its windows are noted down side by side, and the same model makes a summary of the
notes, or several of the same notes.

Where the notes do not fit one prompt they are condensed in groups, level by level, until they do. The caller's
instruction is in every prompt whole: the room for notes is what it leaves. Knows nothing about how windows are cut, nor
how an engine works.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from app.concurrency import together
from app.core import prompts
from app.core.audio.samples import Samples
from app.core.audio.windows import Window
from app.core.errors import TooLarge
from app.engine.base import EngineEvent, Finished, FinishReason, Generation
from app.settings import LongSettings
from app.summarize.generation import Read, Writer, Written
from app.summarize.recognition_warnings import spoken_language
from app.summarize.request import Emit, Heard, Stage

# Beside the notes, a prompt holds the chat template's marks.
_MARKS = 64
_MARKS_A_TURN = 8  # for each question and each answer of the conversation before
# Three notes must fit one prompt: then a level leaves at most half as many (and one more), and there is an end to it.
_NOTES_A_PROMPT = 3
_SHORTEST_NOTE = 32

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Note:
    """What was noted down from a second on."""

    start: float
    text: str


class LongReader:
    """Reads one recording in windows. asked: the requests as for one pass, without their samples; they differ in name
    and seed, and the notes are the first one's. noting: the instruction by which windows are noted down. noting_in: the
    same for notes in a language, where the caller asked for none.
    """

    def __init__(
        self,
        settings: LongSettings,
        writer: Writer,
        noting: str,
        asked: Sequence[Generation],
        noting_in: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = settings
        self.writer = writer
        self.asked = asked
        self.whole = asked[0]
        self.noting = noting
        self.noting_in = noting_in
        self.written: list[Written] = []
        self.warnings: list[str] = []
        self.spoken: str | None = None
        self.room = self._room()
        self.note_tokens = min(settings.note_tokens, self.room // _NOTES_A_PROMPT - _SHORTEST_NOTE // 2)

    async def read(
        self, samples: Samples, windows: Sequence[Window], emit: Emit, tell: Callable[[int, EngineEvent], None]
    ) -> list[Read]:
        """The summaries; `tell` gets the events of their last answers, each with its summary's number. The tokens of
        the notes are counted with the first. Raises `TooLarge`, and what the engine raises.
        """
        longest = max(window.seconds for window in windows)
        at_once = max(1, min(self.settings.windows_at_once, int(self.settings.seconds_at_once / longest)))
        written = await self._side_by_side("windows", windows, partial(self._noted, samples), emit, at_once)
        for index, (window, one) in enumerate(zip(windows, written, strict=True), 1):
            self._warn(f"Of window {index} ({prompts.clock(window.start)} to {prompts.clock(window.end)})", one)
        notes = [Note(window.start, one.text.strip()) for window, one in zip(windows, written, strict=True)]
        heard = [
            Heard(window, note.text, one.finished.recognition)
            for window, note, one in zip(windows, notes, written, strict=True)
        ]
        known = [(one.window.seconds, one.recognition) for one in heard if one.recognition is not None]
        self.spoken = spoken_language(known) if known else None
        merged = await self._condensed_to_fit([note for note in notes if note.text], emit)
        if merged:
            emit(Stage("merge", 0, 1))
            last = await together(
                self.writer.write(self._about(merged, one), partial(tell, number))
                for number, one in enumerate(self.asked)
            )
        else:  # asked about no notes at all, a model would make something up
            last = [Written("", Finished(_without_notes(written), 0, 0), 0.0)] * len(self.asked)
        return [
            Read(one, heard, *_tokens([*self.written, one] if number == 0 else [one]), tuple(self.warnings))
            for number, one in enumerate(last)
        ]

    async def _condensed_to_fit(self, notes: list[Note], emit: Emit) -> list[Note]:
        """Notes that fit one prompt: these, or what they were condensed to."""
        level = 0
        while len(groups := self._groups(notes)) > 1:
            level += 1
            at_once = self.settings.windows_at_once
            written = await self._side_by_side("merge", groups, partial(self._condensed, level), emit, at_once)
            for group, one in zip(groups, written, strict=True):
                begun = f"{prompts.clock(group[0].start)} to {prompts.clock(group[-1].start)}"
                self._warn(f"When the notes on the windows begun from {begun} were condensed,", one)
            notes = [Note(group[0].start, one.text.strip()) for group, one in zip(groups, written, strict=True)]
            notes = [note for note in notes if note.text]
        return notes

    async def _noted(self, samples: Samples, index: int, window: Window) -> Written:
        name = f"{self.whole.request_id}-w{index + 1}"
        asked = replace(self.whole, request_id=name, samples=await asyncio.to_thread(window.of, samples))
        return await self._note(asked)

    async def _condensed(self, level: int, index: int, group: Sequence[Note]) -> Written:
        name = f"{self.whole.request_id}-m{level}-{index + 1}"
        return await self._note(self._about(group, replace(self.whole, request_id=name)))

    async def _note(self, asked: Generation) -> Written:
        """Material noted down: in words, whatever form the summary is to have."""
        as_note = replace(
            asked,
            instruction=self.noting,
            instruction_in=self.noting_in,
            max_tokens=self.note_tokens,
            schema=None,
            stop=(),
            turns=(),
        )
        written = await self.writer.write(as_note)
        self.written.append(written)
        return written

    def _warn(self, where: str, written: Written) -> None:
        if why := _fault(written.finished, written.text):
            self.warnings.append(f"{where} {why}.")

    def _about(self, notes: Sequence[Note], asked: Generation) -> Generation:
        text = prompts.notes_text([(note.start, note.text) for note in notes])
        return replace(asked, samples=None, notes=text, spoken=self.spoken)

    def _groups(self, notes: Sequence[Note]) -> list[list[Note]]:
        """Neighbours that fit one prompt together."""
        groups: list[list[Note]] = [[]]
        used = 0
        for note in notes:
            size = self.writer.engine.count_tokens(prompts.notes_text([(note.start, note.text)])) + 1
            if groups[-1] and used + size > self.room:
                groups.append([])
                used = 0
            groups[-1].append(note)
            used += size
        return groups

    def _room(self) -> int:
        """Tokens for notes in a prompt. Raises `TooLarge` (413) if instruction and answer leave too few."""
        engine = self.writer.engine
        longest = max(self.whole.instruction, self.noting, key=engine.count_tokens)
        earlier = [text for turn in self.whole.turns for text in (turn.asked, turn.answered)]
        marks = [prompts.SYSTEM, prompts.NOTES_OPEN, prompts.NOTES_CLOSE, prompts.NOTES_ARE]
        fixed = " ".join([*marks, longest, *earlier])
        answer = max(self.whole.max_tokens, self.settings.note_tokens)
        room = engine.context_tokens - engine.count_tokens(fixed) - answer - _MARKS - _MARKS_A_TURN * len(earlier)
        if room < _NOTES_A_PROMPT * 2 * _SHORTEST_NOTE:
            raise TooLarge(
                f"The recording is longer than one pass, and its notes have no room beside this instruction and an "
                f"answer of {self.whole.max_tokens} tokens in the model's {engine.context_tokens}: ask for less with "
                "max_tokens, or in fewer words.",
                code="context_exceeded",
                param="instructions",
            )
        return room

    async def _side_by_side(
        self, stage: str, things: Sequence[T], work: Callable[[int, T], Awaitable[U]], emit: Emit, at_once: int
    ) -> list[U]:
        """Each thing's outcome, so many at once; the first that fails ends all."""
        gate, done = asyncio.Semaphore(at_once), 0

        async def one(index: int, thing: T) -> U:
            nonlocal done
            async with gate:
                outcome = await work(index, thing)
            done += 1
            emit(Stage(stage, done, len(things)))
            return outcome

        emit(Stage(stage, 0, len(things)))
        return await together(one(index, thing) for index, thing in enumerate(things))


def _tokens(written: Sequence[Written]) -> tuple[int, int]:
    """Of all prompts, and of all answers."""
    ended = [one.finished for one in written]
    return sum(one.prompt_tokens for one in ended), sum(one.completion_tokens for one in ended)


def _without_notes(written: Sequence[Written]) -> FinishReason:
    """How the answer ended where no window gave a note: the model wrote nothing, or nothing was there to be read."""
    reasons = {one.finished.finish_reason for one in written}
    if reasons <= {"no_speech"}:
        return "no_speech"
    return "not_understood" if reasons <= {"no_speech", "not_understood"} else "stop"


def _fault(finished: Finished, text: str) -> str | None:
    """What is wrong with a note, in words that go on from "Of window 3"; None if nothing is."""
    if finished.finish_reason == "no_speech":
        return "no word was understood"
    if finished.finish_reason == "not_understood":
        return "nothing was understood with certainty, and it is left out"
    if not text.strip():
        return "nothing was noted down"
    if finished.finish_reason == "length":
        return f"the notes were stopped at {finished.completion_tokens} tokens, and something may be missing"
    if finished.finish_reason == "repetition":
        return "the notes began to repeat themselves and were stopped"
    return None
