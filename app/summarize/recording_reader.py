"""Reads one recording for all answers of a request: in one pass if it fits one, and otherwise in windows, on which
notes are taken once. Knows nothing about codecs or HTTP.
"""

from collections.abc import Awaitable, Callable, Sequence

from app.core.prompts import SYSTEM_PROMPT
from app.engine.base import EngineEvent, GenerationRequest
from app.settings import LongSettings
from app.summarize.generation import GeneratedSummary, GeneratedText, TextGenerator
from app.summarize.long_audio import LongAudioSummarizer
from app.summarize.recording_windows import RecordingWindows
from app.summarize.request import Emit, StageProgress, SummaryRequest, WindowResult
from app.summarize.sections import note_sections


class RecordingReader:
    """Reads the windows of one recording."""

    def __init__(
        self,
        settings: LongSettings,
        generator: TextGenerator,
        request: SummaryRequest,
        recording: RecordingWindows,
        later_requests: Sequence[GenerationRequest] = (),
    ) -> None:
        """Prepare the reading.

        Args:
            settings: The settings for long recordings.
            generator: Generates the answers.
            request: The request.
            recording: The windows, at least one.
            later_requests: What `answer` will be asked. It needs room beside the notes.
        """
        self._settings = settings
        self._generator = generator
        self._request = request
        self._later_requests = later_requests
        self._long: LongAudioSummarizer | None = None
        self._window_results: list[WindowResult] = []
        self.recording = recording

    @property
    def is_long(self) -> bool:
        """Whether the recording is read in several windows."""
        return len(self.recording.windows) > 1

    async def read(
        self,
        generation_requests: Sequence[GenerationRequest],
        emit: Emit,
        generate_all: Callable[[Sequence[GenerationRequest]], Awaitable[list[GeneratedText]]],
    ) -> list[GeneratedSummary]:
        """Read the recording, and return one answer per request. It is called once.

        emit: called with the progress. generate_all: generates the answers. Raises the ServiceError that the engine
        raises, and TooLarge (413) if the instruction leaves no room for notes.
        """
        if not self.is_long:
            emit(StageProgress("queue"))
            texts = await generate_all(await self.recording.read_with(0, generation_requests))
            heard = texts[0].finished
            window = self.recording.windows[0]
            self._window_results = [WindowResult(window, None, heard.recognition, heard.transcript, heard.segments)]
            return [self._one_pass_summary(one) for one in texts]
        request = self._request
        self._long = LongAudioSummarizer(
            self._settings,
            self._generator,
            request.note_instruction,
            generation_requests,
            (lambda tag: request.with_language(tag).note_instruction) if request.leaves_language_open else None,
            self._later_requests,
            note_system=request.background.extend_system(SYSTEM_PROMPT),
            note_sections=note_sections(request),
        )
        summaries = await self._long.summarize(self.recording, emit, generate_all)
        self._window_results = summaries[0].window_results
        return summaries

    async def answer(
        self, generation_request: GenerationRequest, on_event: Callable[[EngineEvent], None]
    ) -> GeneratedSummary:
        """Return a further answer about the recording, which `read` has read. A long recording is not read again: the
        answer is made from its notes.

        on_event: called with stages and text as they come. Raises the ServiceError that the engine raises.
        """
        if self._long is not None:
            return await self._long.answer_from_notes(generation_request, self._window_results, on_event)
        (with_recording,) = await self.recording.read_with(0, [generation_request])
        return self._one_pass_summary(await self._generator.generate(with_recording, on_event))

    def _one_pass_summary(self, text: GeneratedText) -> GeneratedSummary:
        finished = text.finished
        return GeneratedSummary(text, self._window_results, finished.prompt_tokens, finished.completion_tokens)
