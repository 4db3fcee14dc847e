"""The transcriber chooses the language, converts the segments of faster-whisper, and decodes loops again."""

import asyncio
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.asr.transcript import Transcript
from app.core.asr.whisper import WhisperTranscriber

Segment = namedtuple("Segment", "seek start end text avg_logprob compression_ratio no_speech_prob")
Info = namedtuple("Info", "language language_probability all_language_probs")


class ForgetfulModel:
    """What every stand-in for the model has: it can be told that the recording is done."""

    forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1


class Whisper(ForgetfulModel):
    """Detects languages with these probabilities, and returns one segment in the given or the detected language."""

    def __init__(self, **probabilities: float) -> None:
        self.probabilities = sorted(probabilities.items(), key=lambda pair: -pair[1])
        self.requested_languages: list[str | None] = []

    def transcribe(self, samples: Any, *, language: str | None, **options: Any) -> Any:
        self.requested_languages.append(language)
        code, probability = (language, 1.0) if language else self.probabilities[0]
        info = Info(code, probability, None if language else self.probabilities)
        return iter([Segment(0, 0.0, 2.5, f" In {code}.", -0.25, 9.9, 0.125)]), info


async def transcribe(whisper: Any, languages: tuple[str, ...] = (), seconds: int = 1) -> Transcript:
    transcriber = WhisperTranscriber(Path("nowhere"), languages=languages)
    transcriber._model = whisper
    try:
        return await transcriber.transcribe(np.zeros(seconds * 16_000, np.float32))
    finally:
        await transcriber.stop()


async def test_the_language_is_detected_and_how_sure_whisper_was_is_kept() -> None:
    found = await transcribe(Whisper(de=0.9, en=0.05), ("en", "es"))
    assert (found.text, found.language, found.language_probability) == ("In de.", "de", 0.9)
    (one,) = found.segments
    assert (one.start, one.end, one.log_probability, one.no_speech_probability) == (0.0, 2.5, -0.25, 0.125)
    assert one.compression_ratio < 1, "of the letters, and not whisper's own"


@pytest.mark.parametrize(
    ("probabilities", "languages", "language", "requested_languages"),
    [
        ({"la": 0.42, "es": 0.3, "en": 0.1}, ("en", "es"), "es", [None, "es"]),
        ({"la": 0.42, "es": 0.3}, (), "la", [None]),
        ({"pl": 0.9, "ru": 0.05}, ("en", "ru"), "pl", [None]),
        ({"pl": 0.45, "ru": 0.05}, ("en", "ru"), "pl", [None]),
        ({"es": 0.4, "pt": 0.3}, ("es", "pt-BR"), "es", [None]),
        ({"jw": 0.8}, (), "jv", [None]),
    ],
)
async def test_where_it_is_unsure_of_the_language_an_expected_one_is_preferred(
    probabilities: dict[str, float], languages: tuple[str, ...], language: str, requested_languages: list[str | None]
) -> None:
    whisper = Whisper(**probabilities)
    found = await transcribe(whisper, languages)
    assert (found.language, whisper.requested_languages) == (language, requested_languages)
    assert found.language_probability == probabilities.get(language, 0.8)


LOOP = " Ha" + " ha" * 200


def segment(start: float, end: float, text: str, seek: int = 0, lp: float = -0.25) -> Segment:
    return Segment(seek, start, end, text, lp, 9.9, 0.1)


class ScriptedWhisper(ForgetfulModel):
    """Returns one of these lists of segments a call, and keeps what it was asked.

    languages: the language that is detected in each call, with its probability.
    """

    def __init__(self, *answers: list[Segment], languages: tuple[tuple[str, float], ...] = (("en", 0.98),) * 9) -> None:
        self.answers = answers
        self.languages = languages
        self.calls: list[tuple[float, str | None, int]] = []  # seconds, language, tokens that may not repeat
        self.read: list[Segment] = []

    def transcribe(self, samples: Any, *, language: str | None, no_repeat_ngram_size: int = 0, **options: Any) -> Any:
        number = len(self.calls)
        self.calls.append((len(samples) / 16_000, language, no_repeat_ngram_size))
        return self.segments(number), Info(*(self.languages[number]), None)

    def segments(self, number: int) -> Iterator[Segment]:
        for one in self.answers[number]:
            self.read.append(one)
            yield one


async def test_a_window_that_goes_round_in_circles_is_decoded_again_without_repetition() -> None:
    first = [segment(0, 28, " Very soon."), segment(28, 58, LOOP, 2800), segment(58, 60, " What now?", 5800)]
    second = [segment(0, 4, " Ha ha!"), segment(4, 28, " The doctor is insane."), segment(28, 30, " Oh.", 2800, -0.7)]
    whisper = ScriptedWhisper(first, second)
    found = await transcribe(whisper, seconds=60)
    assert found.text == "Very soon. Ha ha! The doctor is insane. Oh. What now?"
    assert [(one.start, one.end) for one in found.segments] == [(0, 28), (28, 32), (32, 56), (56, 58), (58, 60)]
    assert max(one.compression_ratio for one in found.segments) < 1
    assert whisper.calls == [(60, None, 0), (30, None, 3)]


async def test_nothing_of_a_recording_is_kept_in_the_model() -> None:
    whisper = Whisper(en=0.9)
    await transcribe(whisper)
    assert whisper.forgotten == 1


async def test_other_windows_are_decoded_once() -> None:
    played = [segment(6 * n, 6 * n + 6, " The office is closed until Monday.") for n in range(5)]
    for answer in ([segment(0, 30, " Anna calls.")], played, []):
        whisper = ScriptedWhisper(answer)
        assert len((await transcribe(whisper, seconds=30)).segments) == len(answer)
        assert len(whisper.calls) == 1


@pytest.mark.parametrize(
    ("what", "second", "language"),
    [
        ("unsure of the words", [segment(0, 15, " We said the owner of all.", lp=-0.98)], ("en", 0.88)),
        ("unsure of the language", [segment(0, 15, " 1.5% 2.5%, 2.6%", lp=-0.5)], ("en", 0.54)),
        ("another language", [segment(0, 15, " Takk.", lp=-0.3)], ("nn", 0.9)),
        ("another loop", [segment(0, 15, LOOP)], ("en", 0.98)),
        ("nothing", [], ("en", 0.98)),
    ],
)
async def test_what_whisper_is_unsure_of_the_second_time_does_not_replace_the_loop(
    what: str, second: list[Segment], language: tuple[str, float]
) -> None:
    whisper = ScriptedWhisper([segment(0, 15, LOOP)], second, languages=(("en", 0.98), language))
    found = await transcribe(whisper, seconds=15)
    assert (found.text, len(whisper.calls)) == (LOOP.strip(), 2), what
    assert found.segments[0].compression_ratio > 10, "so that it is left out as not understood"


async def test_what_comes_before_a_loop_is_decoded_alone_where_no_better_text_is_found() -> None:
    first = [segment(40, 46, " Anna calls.", 4000), segment(46, 52, " Ben pays.", 4000), segment(52, 70, LOOP, 4000)]
    second = [segment(0, 30, " Mumble.", lp=-1.5)]
    before = [segment(0, 6, " Anna calls!"), segment(6, 12, " Ben pays!")]
    whisper = ScriptedWhisper(first, second, before)
    found = await transcribe(whisper, seconds=100)
    assert [(one.start, one.end) for one in found.segments] == [(40, 46), (46, 52), (52, 70)]
    assert [one.text for one in found.segments[:2]] == ["Anna calls!", "Ben pays!"]
    assert [one.compression_ratio > 2.4 for one in found.segments] == [False, False, True]
    assert whisper.calls == [(100, None, 0), (30, None, 3), (12, None, 0)]


async def test_what_whisper_is_unsure_of_before_a_loop_is_left_out_with_it() -> None:
    first = [segment(0, 8, " We don't need that."), segment(8, 15, LOOP)]
    whisper = ScriptedWhisper(first, [segment(0, 15, " Mumble.", lp=-0.98)], [segment(0, 8, " We're done.", lp=-0.8)])
    found = await transcribe(whisper, seconds=15)
    assert (found.text, len(whisper.calls)) == ("We don't need that. " + LOOP.strip(), 3)
    assert min(one.compression_ratio for one in found.segments) > 10


async def test_cancelling_ends_the_second_decoding_before_its_next_window() -> None:
    reached, proceed = threading.Event(), threading.Event()
    second = [segment(0, 15, " Anna calls."), segment(15, 30, " Ben pays."), segment(30, 31, " Unread.")]

    class Waiting(ScriptedWhisper):
        def segments(self, number: int) -> Iterator[Segment]:
            for one in super().segments(number):
                if number == 1:
                    reached.set()
                    assert proceed.wait(20)
                yield one

    whisper = Waiting([segment(0, 30, LOOP), segment(30, 60, LOOP, 3000)], second)
    task = asyncio.ensure_future(transcribe(whisper, seconds=60))
    assert await asyncio.to_thread(reached.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    proceed.set()
    for thread in threading.enumerate():
        if thread.name.startswith("whisper"):
            await asyncio.to_thread(thread.join, 20)
    assert whisper.read[-1].text == " Anna calls.", "the next segment was not decoded"
    assert len(whisper.calls) == 2, "nor the next window that goes round in circles"


class Tokens:
    """Counts a token a letter."""

    def __init__(self, text: str, *, add_special_tokens: bool) -> None:
        assert not add_special_tokens
        self.ids = list(text)


class PromptedWhisper(ScriptedWhisper):
    """Keeps the prompts that it was given."""

    def __init__(self, *answers: list[Segment]) -> None:
        super().__init__(*answers)
        self.hf_tokenizer = self
        self.encode = Tokens
        self.prompts: list[str | None] = []

    def transcribe(self, samples: Any, **options: Any) -> Any:
        self.prompts.append(options.pop("hotwords", None))
        return super().transcribe(samples, **options)


async def transcribe_with(whisper: Any, vocabulary: tuple[str, ...]) -> Transcript:
    transcriber = WhisperTranscriber(Path("nowhere"))
    transcriber._model = whisper
    try:
        return await transcriber.transcribe(np.zeros(16_000, np.float32), vocabulary)
    finally:
        await transcriber.stop()


async def test_terms_are_heard_in_a_second_decoding_that_changes_nothing_else() -> None:
    plain = [segment(0, 4, " Ask Eva about it."), segment(4, 8, " He pays forty.")]
    prompted = [segment(0, 8, " Ask Aoife about it. She pays fourteen.")]
    whisper = PromptedWhisper(plain, prompted)
    found = await transcribe_with(whisper, ("Aoife", "Kubernetes"))
    assert found.text == "Ask Aoife about it. He pays forty."
    assert whisper.prompts == [None, "Aoife, Kubernetes"]
    assert [language for _, language, _ in whisper.calls] == [None, "en"]


async def test_a_recording_without_words_is_not_decoded_with_a_vocabulary() -> None:
    """Whisper writes a prompt into silence."""
    whisper = PromptedWhisper([], [segment(0, 2, " Aoife, Kubernetes.")])
    assert (await transcribe_with(whisper, ("Aoife", "Kubernetes"))).text == ""
    assert whisper.prompts == [None]


async def test_without_a_vocabulary_there_is_one_decoding() -> None:
    whisper = PromptedWhisper([segment(0, 4, " Ask Eva about it.")])
    assert (await transcribe_with(whisper, ())).text == "Ask Eva about it."
    assert whisper.prompts == [None]


async def test_terms_that_the_prompt_has_no_room_for_are_counted() -> None:
    terms = tuple(f"Name number {number:2}" for number in range(20))
    whisper = PromptedWhisper([segment(0, 4, " Ask Eva about it.")], [])
    found = await transcribe_with(whisper, terms)
    given = (whisper.prompts[1] or "").split(", ")
    assert given == list(terms[: len(given)])
    assert 0 < len(given) < 20
    assert found.unused_terms == 20 - len(given)
