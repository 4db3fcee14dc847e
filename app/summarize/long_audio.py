"""Summarizes a recording longer than one pass: the model takes notes on its windows, several at once, and then writes
the summary, or several choices of it, from the notes.

Notes that do not fit one prompt are condensed in groups, level by level, until they do. The caller's instruction is in
every prompt in full, and the notes get the room that it leaves. Knows nothing about how windows are cut, nor how an
engine works.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from app.concurrency import run_all
from app.core import prompts
from app.core.audio.windows import Window
from app.core.errors import TooLarge
from app.engine.base import EngineEvent, FinishReason, GenerationFinished, GenerationRequest, SectionedAnswer
from app.settings import LongSettings
from app.summarize.generation import GeneratedSummary, GeneratedText, TextGenerator
from app.summarize.recognition_warnings import spoken_language
from app.summarize.recording_windows import RecordingWindows
from app.summarize.request import Emit, StageProgress, WindowResult

_TEMPLATE_TOKENS = 64  # room in a prompt for the chat template's control tokens
_TEMPLATE_TOKENS_PER_TURN = 8  # the same for each question and each answer of the conversation
# Three notes must fit one prompt. Then each level leaves at most half as many notes, plus one, and the condensing ends.
_MIN_NOTES_PER_PROMPT = 3
_MIN_NOTE_TOKENS = 32

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Note:
    """The notes on the part of a recording that starts at a second."""

    start: float
    text: str


class LongAudioSummarizer:
    """Summarizes one recording in windows."""

    def __init__(
        self,
        settings: LongSettings,
        generator: TextGenerator,
        note_instruction: str,
        generation_requests: Sequence[GenerationRequest],
        note_instruction_for_language: Callable[[str], str] | None = None,
        later_requests: Sequence[GenerationRequest] = (),
        note_system: str = prompts.SYSTEM_PROMPT,
        note_sections: SectionedAnswer | None = None,
    ) -> None:
        """Prepare the reading of one recording.

        Args:
            settings: The settings for long recordings.
            generator: Generates the answers.
            note_instruction: The instruction for the notes on a window.
            generation_requests: One request per choice, as for one pass but without samples. They differ in their ids
                and seeds; the notes are made with the first one's.
            note_instruction_for_language: Returns the instruction for notes in the language of a BCP 47 tag, if the
                caller asked for no language.
            later_requests: What `answer_from_notes` will be asked.
            note_system: The system message for the notes.
            note_sections: How notes may be written in sections, which together are longer than notes in one piece.

        Raises:
            TooLarge: The instruction and the answer leave no room for notes (413).
        """
        self.settings = settings
        self.generator = generator
        self.generation_requests = generation_requests
        self.first_request = generation_requests[0]
        self.later_requests = later_requests
        self.note_instruction = note_instruction
        self.note_instruction_for_language = note_instruction_for_language
        self.note_system = note_system
        self.note_texts: list[GeneratedText] = []
        self.warnings: list[str] = []
        self.spoken_language: str | None = None
        self._final_notes: list[Note] = []
        self._without_notes = GenerationFinished("stop", 0, 0)
        self.notes_budget = self._compute_notes_budget()
        longest_note = self.notes_budget // _MIN_NOTES_PER_PROMPT - _MIN_NOTE_TOKENS // 2
        self.max_note_tokens = min(settings.note_tokens, longest_note)
        self.note_sections = None if note_sections is None else replace(note_sections, total_tokens=longest_note)

    async def summarize(
        self,
        recording: RecordingWindows,
        emit: Emit,
        generate_all: Callable[[Sequence[GenerationRequest]], Awaitable[list[GeneratedText]]],
    ) -> list[GeneratedSummary]:
        """Return one summary per choice. The tokens of the notes are counted with the first choice.

        emit: called with the progress. generate_all: generates the final answers. Raises the ServiceError that the
        engine raises.
        """
        windows = recording.windows
        longest = max(window.seconds for window in windows)
        limit = max(1, min(self.settings.windows_at_once, int(self.settings.seconds_at_once / longest)))
        answers = await self._run_concurrently("windows", windows, partial(self._note_window, recording), emit, limit)
        for index, (window, one) in enumerate(zip(windows, answers, strict=True), 1):
            self._add_warning(
                f"Of window {index} ({prompts.clock_time(window.start)} to {prompts.clock_time(window.end)})", one
            )
        notes = [Note(window.start, one.text.strip()) for window, one in zip(windows, answers, strict=True)]
        window_results = [
            WindowResult(window, note.text, one.finished.recognition, one.finished.transcript, one.finished.segments)
            for window, note, one in zip(windows, notes, answers, strict=True)
        ]
        recognitions = [(one.window.seconds, one.recognition) for one in window_results if one.recognition is not None]
        self.spoken_language = spoken_language(recognitions) if recognitions else None
        notes = await self._condense_to_fit([note for note in notes if note.text], emit)
        self._final_notes = notes
        if notes:
            emit(StageProgress("merge", 0, 1))
            finals = await generate_all([self._with_notes(notes, one) for one in self.generation_requests])
        else:  # without any notes, the model would invent something
            self._without_notes = GenerationFinished(_finish_reason_without_notes(answers), 0, 0)
            finals = [GeneratedText("", self._without_notes, 0.0)] * len(self.generation_requests)
        return [
            GeneratedSummary(
                one,
                window_results,
                *_token_counts([*self.note_texts, one] if number == 0 else [one]),
                tuple(self.warnings),
            )
            for number, one in enumerate(finals)
        ]

    async def answer_from_notes(
        self,
        generation_request: GenerationRequest,
        window_results: list[WindowResult],
        on_event: Callable[[EngineEvent], None],
    ) -> GeneratedSummary:
        """Return a further answer, which is made from the notes of `summarize`.

        window_results: those of the summary. on_event: called with stages and text as they come. Raises the
        ServiceError that the engine raises.
        """
        final = GeneratedText("", self._without_notes, 0.0)
        if self._final_notes:
            with_notes = self._with_notes(self._final_notes, generation_request)
            final = await self.generator.generate(with_notes, on_event)
        return GeneratedSummary(final, window_results, *_token_counts([final]))

    async def _condense_to_fit(self, notes: list[Note], emit: Emit) -> list[Note]:
        """Return notes that fit one prompt: the given ones, or what they were condensed to."""
        level = 0
        while len(groups := self._group_notes(notes)) > 1:
            level += 1
            limit = self.settings.windows_at_once
            answers = await self._run_concurrently("merge", groups, partial(self._condense_group, level), emit, limit)
            for group, one in zip(groups, answers, strict=True):
                starts = f"{prompts.clock_time(group[0].start)} to {prompts.clock_time(group[-1].start)}"
                self._add_warning(f"When the notes on the windows that start from {starts} were condensed,", one)
            notes = [Note(group[0].start, one.text.strip()) for group, one in zip(groups, answers, strict=True)]
            notes = [note for note in notes if note.text]
        return notes

    async def _note_window(self, recording: RecordingWindows, index: int, _: Window) -> GeneratedText:
        name = f"{self.first_request.request_id}-w{index + 1}"
        (with_window,) = await recording.read_with(index, [replace(self.first_request, request_id=name)])
        return await self._write_note(with_window)

    async def _condense_group(self, level: int, index: int, group: Sequence[Note]) -> GeneratedText:
        name = f"{self.first_request.request_id}-m{level}-{index + 1}"
        return await self._write_note(self._with_notes(group, replace(self.first_request, request_id=name)))

    async def _write_note(self, generation_request: GenerationRequest) -> GeneratedText:
        """Write notes on a window, or on other notes. They are plain text, whatever the summary's form is."""
        as_note = replace(
            generation_request,
            instruction=self.note_instruction,
            instruction_for_language=self.note_instruction_for_language,
            max_tokens=self.max_note_tokens,
            schema=None,
            stop=(),
            turns=(),
            system=self.note_system,
            sections=self.note_sections,
        )
        answer = await self.generator.generate(as_note)
        self.note_texts.append(answer)
        return answer

    def _add_warning(self, where: str, note: GeneratedText) -> None:
        if problem := _note_problem(note.finished, note.text):
            self.warnings.append(f"{where} {problem}.")

    def _with_notes(self, notes: Sequence[Note], generation_request: GenerationRequest) -> GenerationRequest:
        text = prompts.notes_text([(note.start, note.text) for note in notes])
        return replace(generation_request, samples=None, notes=text, spoken_language=self.spoken_language)

    def _group_notes(self, notes: Sequence[Note]) -> list[list[Note]]:
        """Return the notes in groups of neighbours that fit one prompt together."""
        groups: list[list[Note]] = [[]]
        group_tokens = 0
        for note in notes:
            size = self.generator.engine.count_tokens(prompts.notes_text([(note.start, note.text)])) + 1
            if groups[-1] and group_tokens + size > self.notes_budget:
                groups.append([])
                group_tokens = 0
            groups[-1].append(note)
            group_tokens += size
        return groups

    def _compute_notes_budget(self) -> int:
        """Return the number of tokens for notes in a prompt.

        Raises `TooLarge` (413) if the instruction and the answer leave too few.
        """
        engine = self.generator.engine
        finals = [self.first_request, *self.later_requests]
        longest = max(*(one.instruction for one in finals), self.note_instruction, key=engine.count_tokens)
        earlier = [text for turn in self.first_request.turns for text in (turn.question, turn.answer)]
        marks = [self.note_system, prompts.NOTES_OPEN, prompts.NOTES_CLOSE, prompts.NOTES_PREAMBLE]
        fixed = " ".join([*marks, longest, *earlier])
        answer = max(*(one.max_tokens for one in finals), self.settings.note_tokens)
        room = (
            engine.context_tokens
            - engine.count_tokens(fixed)
            - answer
            - _TEMPLATE_TOKENS
            - _TEMPLATE_TOKENS_PER_TURN * len(earlier)
        )
        if room < _MIN_NOTES_PER_PROMPT * 2 * _MIN_NOTE_TOKENS:
            tokens = max(one.max_tokens for one in finals)
            raise TooLarge(
                f"The recording is longer than one pass, and its notes have no room beside this instruction and an "
                f"answer of {tokens} tokens in the model's {engine.context_tokens}: ask for "
                "less with max_tokens, or in fewer words.",
                code="context_exceeded",
                param="instructions",
            )
        return room

    async def _run_concurrently(
        self, stage: str, items: Sequence[T], work: Callable[[int, T], Awaitable[U]], emit: Emit, limit: int
    ) -> list[U]:
        """Return the result of `work` for each item, at most `limit` at once. The first exception cancels the rest."""
        semaphore, done = asyncio.Semaphore(limit), 0

        async def run_one(index: int, item: T) -> U:
            nonlocal done
            async with semaphore:
                result = await work(index, item)
            done += 1
            emit(StageProgress(stage, done, len(items)))
            return result

        emit(StageProgress(stage, 0, len(items)))
        return await run_all(run_one(index, item) for index, item in enumerate(items))


def _token_counts(answers: Sequence[GeneratedText]) -> tuple[int, int]:
    """Return the number of tokens of all prompts, and of all answers."""
    return (
        sum(one.finished.prompt_tokens for one in answers),
        sum(one.finished.completion_tokens for one in answers),
    )


def _finish_reason_without_notes(answers: Sequence[GeneratedText]) -> FinishReason:
    """Return the finish reason if no window gave a note: nothing was understood, or the model wrote nothing."""
    reasons = {one.finished.finish_reason for one in answers}
    if reasons <= {"no_speech"}:
        return "no_speech"
    return "not_understood" if reasons <= {"no_speech", "not_understood"} else "stop"


def _note_problem(finished: GenerationFinished, text: str) -> str | None:
    """Return what is wrong with a note, as the end of a sentence that begins "Of window 3"; None if nothing is."""
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
