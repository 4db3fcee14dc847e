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

from app.concurrency import run_all
from app.core import prompts
from app.core.audio.samples import Samples
from app.core.audio.windows import Window
from app.core.errors import TooLarge
from app.engine.base import EngineEvent, FinishReason, GenerationFinished, GenerationRequest
from app.settings import LongSettings
from app.summarize.generation import GeneratedSummary, GeneratedText, TextGenerator
from app.summarize.recognition_warnings import spoken_language
from app.summarize.request import Emit, StageProgress, WindowResult

# Beside the notes, a prompt holds the chat template's marks.
_TEMPLATE_TOKENS = 64
_TEMPLATE_TOKENS_PER_TURN = 8  # for each question and each answer of the conversation before
# Three notes must fit one prompt: then a level leaves at most half as many (and one more), and there is an end to it.
_MIN_NOTES_PER_PROMPT = 3
_MIN_NOTE_TOKENS = 32

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Note:
    """What was noted down from a second on."""

    start: float
    text: str


class LongAudioSummarizer:
    """Reads one recording in windows. asked: the requests as for one pass, without their samples; they differ in name
    and seed, and the notes are the first one's. noting: the instruction by which windows are noted down. noting_in: the
    same for notes in a language, where the caller asked for none.
    """

    def __init__(
        self,
        settings: LongSettings,
        generator: TextGenerator,
        note_instruction: str,
        generation_requests: Sequence[GenerationRequest],
        note_instruction_for_language: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = settings
        self.generator = generator
        self.generation_requests = generation_requests
        self.first_request = generation_requests[0]
        self.note_instruction = note_instruction
        self.note_instruction_for_language = note_instruction_for_language
        self.note_texts: list[GeneratedText] = []
        self.warnings: list[str] = []
        self.spoken_language: str | None = None
        self.notes_budget = self._compute_notes_budget()
        self.max_note_tokens = min(
            settings.note_tokens, self.notes_budget // _MIN_NOTES_PER_PROMPT - _MIN_NOTE_TOKENS // 2
        )

    async def summarize(
        self, samples: Samples, windows: Sequence[Window], emit: Emit, on_event: Callable[[int, EngineEvent], None]
    ) -> list[GeneratedSummary]:
        """The summaries; `tell` gets the events of their last answers, each with its summary's number. The tokens of
        the notes are counted with the first. Raises `TooLarge`, and what the engine raises.
        """
        longest = max(window.seconds for window in windows)
        at_once = max(1, min(self.settings.windows_at_once, int(self.settings.seconds_at_once / longest)))
        written = await self._run_concurrently("windows", windows, partial(self._note_window, samples), emit, at_once)
        for index, (window, one) in enumerate(zip(windows, written, strict=True), 1):
            self._add_warning(
                f"Of window {index} ({prompts.clock_time(window.start)} to {prompts.clock_time(window.end)})", one
            )
        notes = [Note(window.start, one.text.strip()) for window, one in zip(windows, written, strict=True)]
        heard = [
            WindowResult(window, note.text, one.finished.recognition)
            for window, note, one in zip(windows, notes, written, strict=True)
        ]
        known = [(one.window.seconds, one.recognition) for one in heard if one.recognition is not None]
        self.spoken_language = spoken_language(known) if known else None
        merged = await self._condense_to_fit([note for note in notes if note.text], emit)
        if merged:
            emit(StageProgress("merge", 0, 1))
            last = await run_all(
                self.generator.generate(self._with_notes(merged, one), partial(on_event, number))
                for number, one in enumerate(self.generation_requests)
            )
        else:  # asked about no notes at all, a model would make something up
            last = [GeneratedText("", GenerationFinished(_finish_reason_without_notes(written), 0, 0), 0.0)] * len(
                self.generation_requests
            )
        return [
            GeneratedSummary(
                one, heard, *_token_counts([*self.note_texts, one] if number == 0 else [one]), tuple(self.warnings)
            )
            for number, one in enumerate(last)
        ]

    async def _condense_to_fit(self, notes: list[Note], emit: Emit) -> list[Note]:
        """Notes that fit one prompt: these, or what they were condensed to."""
        level = 0
        while len(groups := self._group_notes(notes)) > 1:
            level += 1
            at_once = self.settings.windows_at_once
            written = await self._run_concurrently("merge", groups, partial(self._condense_group, level), emit, at_once)
            for group, one in zip(groups, written, strict=True):
                begun = f"{prompts.clock_time(group[0].start)} to {prompts.clock_time(group[-1].start)}"
                self._add_warning(f"When the notes on the windows begun from {begun} were condensed,", one)
            notes = [Note(group[0].start, one.text.strip()) for group, one in zip(groups, written, strict=True)]
            notes = [note for note in notes if note.text]
        return notes

    async def _note_window(self, samples: Samples, index: int, window: Window) -> GeneratedText:
        name = f"{self.first_request.request_id}-w{index + 1}"
        generation_request = replace(
            self.first_request, request_id=name, samples=await asyncio.to_thread(window.extract, samples)
        )
        return await self._write_note(generation_request)

    async def _condense_group(self, level: int, index: int, group: Sequence[Note]) -> GeneratedText:
        name = f"{self.first_request.request_id}-m{level}-{index + 1}"
        return await self._write_note(self._with_notes(group, replace(self.first_request, request_id=name)))

    async def _write_note(self, generation_request: GenerationRequest) -> GeneratedText:
        """Material noted down: in words, whatever form the summary is to have."""
        as_note = replace(
            generation_request,
            instruction=self.note_instruction,
            instruction_for_language=self.note_instruction_for_language,
            max_tokens=self.max_note_tokens,
            schema=None,
            stop=(),
            turns=(),
            system=prompts.SYSTEM_PROMPT,
        )
        written = await self.generator.generate(as_note)
        self.note_texts.append(written)
        return written

    def _add_warning(self, where: str, written: GeneratedText) -> None:
        if why := _note_problem(written.finished, written.text):
            self.warnings.append(f"{where} {why}.")

    def _with_notes(self, notes: Sequence[Note], generation_request: GenerationRequest) -> GenerationRequest:
        text = prompts.notes_text([(note.start, note.text) for note in notes])
        return replace(generation_request, samples=None, notes=text, spoken_language=self.spoken_language)

    def _group_notes(self, notes: Sequence[Note]) -> list[list[Note]]:
        """Neighbours that fit one prompt together."""
        groups: list[list[Note]] = [[]]
        used = 0
        for note in notes:
            size = self.generator.engine.count_tokens(prompts.notes_text([(note.start, note.text)])) + 1
            if groups[-1] and used + size > self.notes_budget:
                groups.append([])
                used = 0
            groups[-1].append(note)
            used += size
        return groups

    def _compute_notes_budget(self) -> int:
        """Tokens for notes in a prompt. Raises `TooLarge` (413) if instruction and answer leave too few."""
        engine = self.generator.engine
        longest = max(self.first_request.instruction, self.note_instruction, key=engine.count_tokens)
        earlier = [text for turn in self.first_request.turns for text in (turn.question, turn.answer)]
        marks = [prompts.SYSTEM_PROMPT, prompts.NOTES_OPEN, prompts.NOTES_CLOSE, prompts.NOTES_PREAMBLE]
        fixed = " ".join([*marks, longest, *earlier])
        answer = max(self.first_request.max_tokens, self.settings.note_tokens)
        room = (
            engine.context_tokens
            - engine.count_tokens(fixed)
            - answer
            - _TEMPLATE_TOKENS
            - _TEMPLATE_TOKENS_PER_TURN * len(earlier)
        )
        if room < _MIN_NOTES_PER_PROMPT * 2 * _MIN_NOTE_TOKENS:
            raise TooLarge(
                f"The recording is longer than one pass, and its notes have no room beside this instruction and an "
                f"answer of {self.first_request.max_tokens} tokens in the model's {engine.context_tokens}: ask for "
                "less with "
                "max_tokens, or in fewer words.",
                code="context_exceeded",
                param="instructions",
            )
        return room

    async def _run_concurrently(
        self, stage: str, items: Sequence[T], work: Callable[[int, T], Awaitable[U]], emit: Emit, at_once: int
    ) -> list[U]:
        """Each thing's outcome, so many at once; the first that fails ends all."""
        gate, done = asyncio.Semaphore(at_once), 0

        async def run_one(index: int, thing: T) -> U:
            nonlocal done
            async with gate:
                outcome = await work(index, thing)
            done += 1
            emit(StageProgress(stage, done, len(items)))
            return outcome

        emit(StageProgress(stage, 0, len(items)))
        return await run_all(run_one(index, item) for index, item in enumerate(items))


def _token_counts(written: Sequence[GeneratedText]) -> tuple[int, int]:
    """Of all prompts, and of all answers."""
    ended = [one.finished for one in written]
    return sum(one.prompt_tokens for one in ended), sum(one.completion_tokens for one in ended)


def _finish_reason_without_notes(written: Sequence[GeneratedText]) -> FinishReason:
    """How the answer ended where no window gave a note: the model wrote nothing, or nothing was there to be read."""
    reasons = {one.finished.finish_reason for one in written}
    if reasons <= {"no_speech"}:
        return "no_speech"
    return "not_understood" if reasons <= {"no_speech", "not_understood"} else "stop"


def _note_problem(finished: GenerationFinished, text: str) -> str | None:
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
