"""Segments are kept or left out by confidence. The values are measured (results/recognizer.json)."""

from dataclasses import replace

import pytest

from app.core.asr.confidence import filter_transcript
from app.core.asr.settings import RecognizerSettings
from app.core.asr.transcript import Transcript, TranscriptSegment

LIMITS = RecognizerSettings()


def segment(
    text: str = "Anna calls.", lp: float = -0.3, cr: float = 1.2, ns: float = 0.1, start: float = 0
) -> TranscriptSegment:
    return TranscriptSegment(start, start + 5, text, lp, cr, ns)


@pytest.mark.parametrize(
    ("what", "lp", "cr", "ns", "language"),
    [
        ("read by a person", -0.147, 1.14, 0.007, 1.0),
        ("telephone prompts", -0.324, 1.37, 0.276, 0.95),
        ("espeak's", -0.632, 1.11, 0.05, 0.87),
        ("speech in as much noise", -0.72, 1.41, 0.24, 0.97),
        ("a message that is played over and over", -0.25, 5.0, 0.1, 0.99),
        ("Russian", -0.266, 1.92, 0.03, 0.99),
    ],
)
def test_speech_is_understood(what: str, lp: float, cr: float, ns: float, language: float) -> None:
    found = filter_transcript(Transcript((segment(lp=lp, cr=cr, ns=ns),), "en", language), LIMITS)
    assert (found.text, found.recognition.omitted_spans) == ("Anna calls.", ()), what


@pytest.mark.parametrize(
    ("what", "lp", "cr", "ns", "language"),
    [
        ("drowned in noise", -1.157, 1.32, 0.27, 0.62),
        ("drowned, and of no language", -0.772, 1.54, 0.28, 0.47),
        ("reversed", -0.971, 0.91, 0.05, 0.37),
        ("reversed, going round", -0.182, 13.9, 0.64, 0.35),
        ("a crowd", -0.414, 6.2, 0.69, 0.74),
        ("noise", -0.173, 14.9, 0.85, 0.55),
        ("music", -0.681, 0.56, 0.83, 1.0),
        ("another language, by an English model", -0.039, 27.9, 0.38, 1.0),
        ("another language, by an English model", -0.804, 3.5, 0.16, 1.0),
    ],
)
def test_what_whisper_guessed_is_left_out(what: str, lp: float, cr: float, ns: float, language: float) -> None:
    found = filter_transcript(Transcript((segment(lp=lp, cr=cr, ns=ns),), "en", language), LIMITS)
    assert (found.text, found.recognition.omitted_spans) == ("", ((0, 5),)), what


def test_sentences_that_resemble_each_other_are_understood_though_they_sound_like_a_machine() -> None:
    resembling = TranscriptSegment(0, 29, "Enter your number. Enter your password.", -0.33, 2.99, 0.67, 0.01)
    assert filter_transcript(Transcript((resembling,), "en", 0.98), LIMITS).text
    for other in (
        replace(resembling, repeated_share=0.9),
        replace(resembling, log_probability=-0.5),
        replace(resembling, compression_ratio=6.0),
    ):
        assert not filter_transcript(Transcript((other,), "en", 0.98), LIMITS).text
    assert not filter_transcript(Transcript((resembling,), "en", 0.7), LIMITS).text


def test_only_the_part_that_was_not_understood_is_left_out_and_reported() -> None:
    parts = [segment(), segment("Gar", -1.4, start=6), segment("ble.", -1.4, start=11), segment("Ben pays.", start=30)]
    found = filter_transcript(Transcript(tuple(parts), "de", 0.9), LIMITS)
    assert found.text == "Anna calls. Ben pays."
    assert found.recognition.omitted_spans == ((6, 16),)
    assert found.recognition.log_probability == pytest.approx(-0.3), "of what is read"
    assert (found.recognition.language, found.recognition.language_probability) == ("de", 0.9)


def test_nothing_said_is_not_the_same_as_not_understood() -> None:
    for parts in ((), (segment("."), segment(" ♪ "))):
        found = filter_transcript(Transcript(parts), LIMITS)
        assert (found.text, found.recognition.omitted_spans, found.recognition.log_probability) == ("", (), None)


def test_the_settings_move_the_limits() -> None:
    unsure = Transcript((segment(lp=-1.2),))
    assert filter_transcript(unsure, LIMITS).text == ""
    assert filter_transcript(unsure, RecognizerSettings(log_probability=-1.5)).text
    circling = Transcript((segment(cr=4, lp=-0.6),))
    assert filter_transcript(circling, LIMITS).text == ""
    assert filter_transcript(circling, RecognizerSettings(compression_ratio=5)).text
