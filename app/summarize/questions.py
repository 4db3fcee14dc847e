"""Answers a request's questions about its recording, one after the other, once the summary is written.

The recording is heard once for all of them. A question is the caller's instruction, as in a chat; what is said in the
recording stays material. Knows nothing about HTTP.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from app import metrics
from app.core import prompts
from app.core.prompts import Style
from app.engine.base import EngineEvent, GenerationRequest, TextDelta
from app.summarize.answers import Answer, AnswerDelta, AnswerFinished
from app.summarize.generation import GeneratedSummary
from app.summarize.recording_reader import RecordingReader
from app.summarize.request import Emit, OutputFormat, StageProgress, SummaryRequest
from app.summarize.unsupported_spans import find_unsupported_spans, unsupported_warnings

QUESTIONS_STAGE = "questions"


@dataclass(frozen=True)
class Question:
    """One question of a request.

    Attributes:
        number: From 1.
        text: As the caller asks it.
        request: The request for a summary that is this answer: plain text, in the language asked for.
        generation_request: What the engine is asked, still without the recording.
    """

    number: int
    text: str
    request: SummaryRequest
    generation_request: GenerationRequest


@dataclass(frozen=True)
class GeneratedAnswer:
    """An answer, with the sentences for the caller about it and the tokens that it took."""

    answer: Answer
    warnings: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0


def build_questions(
    request: SummaryRequest, build_generation_request: Callable[[SummaryRequest], GenerationRequest]
) -> list[Question]:
    """Return the questions of a request. build_generation_request: returns what the engine is asked for a request."""
    questions: list[Question] = []
    for number, text in enumerate(request.questions, 1):
        one = _question_request(request, number, text)
        questions.append(Question(number, text, one, build_generation_request(one)))
    return questions


def _question_request(request: SummaryRequest, number: int, question: str) -> SummaryRequest:
    """Return the request for a summary that is the answer: plain text in the language asked for, with the background
    of the request. A template has set the language, and is otherwise for the summary alone.
    """
    return replace(
        request,
        id=f"{request.id}-q{number}",
        style=Style(language=request.style.language),
        custom_instruction=prompts.question_instruction(question, request.style.language),
        template=None,
        template_candidates=(),
        output_format=OutputFormat(),
        choice_count=1,
        effort="normal",
        questions=(),
    )


async def answer_questions(
    questions: Sequence[Question], reader: RecordingReader | None, *, can_say_what_it_heard: bool, emit: Emit
) -> list[GeneratedAnswer]:
    """Return the answers in order. `emit` is called with each piece of text, each answer, and how many there are.

    Args:
        reader: Has read the recording. None if nobody speaks in it; all answers are then empty.
        can_say_what_it_heard: Whether the model can say that of a recording.
        emit: Called with the events.

    Raises the ServiceError that the engine raises.
    """
    answers: list[GeneratedAnswer] = []
    for question in questions:
        emit(StageProgress(QUESTIONS_STAGE, len(answers), len(questions)))
        if reader is None:
            silent = Answer(question.text, "", "no_speech", [], [] if can_say_what_it_heard else None)
            answers.append(GeneratedAnswer(silent))
        else:
            generated = await reader.answer(question.generation_request, _text_reporter(question, emit))
            answers.append(await _check_answer(question, generated))
        metrics.QUESTIONS.inc()
        emit(AnswerFinished(answers[-1].answer, question.number - 1))
    if questions:
        emit(StageProgress(QUESTIONS_STAGE, len(answers), len(questions)))
    return answers


def _text_reporter(question: Question, emit: Emit) -> Callable[[EngineEvent], None]:
    def report_text(event: EngineEvent) -> None:
        if isinstance(event, TextDelta):
            emit(AnswerDelta(event.text, question.number - 1))

    return report_text


async def _check_answer(question: Question, generated: GeneratedSummary) -> GeneratedAnswer:
    text, finished = generated.final.text, generated.final.finished
    unsupported = await find_unsupported_spans(question.request, generated, is_json=False)
    answer = Answer(question.text, text, finished.finish_reason, generated.citations, unsupported)
    warnings = [*_answer_warnings(question, generated)]
    warnings += unsupported_warnings(unsupported or [], f"the answer to question {question.number}")
    return GeneratedAnswer(answer, tuple(warnings), generated.prompt_tokens, generated.completion_tokens)


def _answer_warnings(question: Question, generated: GeneratedSummary) -> Iterator[str]:
    reason, which = generated.final.finished.finish_reason, f"question {question.number}"
    if reason == "length":
        yield (
            f"The answer to {which} was stopped at {question.generation_request.max_tokens} tokens and may end in the "
            "middle of a sentence; ask for more with max_tokens."
        )
    if reason == "repetition":
        yield f"In the answer to {which} the model began to repeat itself and was stopped."
    if not generated.final.text.strip() and reason not in ("no_speech", "not_understood"):
        yield f"The model wrote nothing in answer to {which}."
