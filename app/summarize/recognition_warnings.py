"""Warnings about a cascade's transcript: its language, what was left out, and how confident the recognizer was.

Knows nothing about how speech is recognized.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.core.asr.confidence import Recognition
from app.core.asr.settings import RecognizerSettings
from app.core.prompts import clock_time, language_name
from app.engine.model_info import ModelInfo
from app.settings import setting_name
from app.summarize.request import WindowResult


@dataclass(frozen=True)
class OverallRecognition:
    """How well a whole recording was recognized, over all windows that were read.

    Attributes:
        language: BCP 47 tag of the language that most is spoken in.
        language_probability: Mean over the windows in that language, weighted by their length.
        log_probability: Mean log-probability of a token over all windows, weighted by their length. None if no window
            has one.
        omitted_spans: Start and end in seconds of what was not understood and is not in the summary.
        unused_terms: Number of terms of the vocabulary that the recognizer had no room for.
    """

    language: str
    language_probability: float
    log_probability: float | None
    omitted_spans: tuple[tuple[float, float], ...]
    unused_terms: int = 0


def overall_recognition(window_results: Sequence[WindowResult]) -> OverallRecognition | None:
    """Return the recognition of all windows together, or None if the engine is no cascade."""
    pairs = [(one.window, one.recognition) for one in window_results if one.recognition is not None]
    if not pairs:
        return None
    language = spoken_language([(window.seconds, one) for window, one in pairs])
    in_language = [(window.seconds, one) for window, one in pairs if one.language == language]
    confidences = [(window.seconds, one.log_probability) for window, one in pairs if one.log_probability is not None]
    spans = [(window.start + start, window.start + end) for window, one in pairs for start, end in one.omitted_spans]
    return OverallRecognition(
        language=language,
        language_probability=_weighted_mean([(seconds, one.language_probability) for seconds, one in in_language])
        or 0.0,
        log_probability=_weighted_mean(confidences),
        omitted_spans=tuple(spans),
        unused_terms=max(one.unused_terms for _, one in pairs),
    )


def spoken_language(recognitions: Sequence[tuple[float, Recognition]]) -> str:
    """Return the language that most is spoken in, as a BCP 47 tag.

    recognitions: the length in seconds of each window and its recognition; at least one.
    """
    seconds: Counter[str] = Counter()
    for length, one in recognitions:
        # A window in which nothing was understood still counts a little.
        understood = length - sum(end - start for start, end in one.omitted_spans)
        seconds[one.language] += max(understood, 0.01) * one.language_probability  # type: ignore[assignment]
    return seconds.most_common(1)[0][0]


def recognition_warnings(
    recognition: OverallRecognition,
    model: ModelInfo,
    requested_language: str | None,
    limits: RecognizerSettings,
    *,
    understood: bool,
) -> Iterator[str]:
    """Yield warnings for the caller.

    Args:
        recognition: The recognition of the whole recording.
        model: The model.
        requested_language: BCP 47 tag of the language that the caller asked for, or None.
        limits: Below which confidence a warning is due.
        understood: Whether enough was understood for a summary.
    """
    if not understood:
        yield (
            "The speech in this recording could not be understood, so there is no summary: the recognizer was too "
            f"unsure of it. The settings are {setting_name('recognizer', 'log_probability')} and "
            f"{setting_name('recognizer', 'compression_ratio')}."
        )
        return
    if recognition.omitted_spans:
        spans = ", ".join(
            f"{clock_time(start)} to {clock_time(end + 0.999)}" for start, end in recognition.omitted_spans
        )
        yield f"Not understood, and left out of the summary: {spans}."
    if recognition.unused_terms:
        yield (
            f"The recognizer had no room for the last {recognition.unused_terms} terms of the vocabulary, and listened "
            "for those before them. Name the most important ones first."
        )
    if recognition.log_probability is not None and recognition.log_probability < limits.sure_log_probability:
        yield (
            "The recognizer was unsure of much that was said (mean log-probability "
            f"{recognition.log_probability:.2f}): names and figures may be wrong."
        )
    if recognition.language_probability < limits.sure_language_probability:
        yield (
            f"The language was taken for {language_name(recognition.language)} with little certainty "
            f"({recognition.language_probability:.0%})."
        )
    if requested_language is None and not model.supports_language(recognition.language):
        yield (
            f"{model.id} does not write {language_name(recognition.language)}, which is spoken; the summary is in "
            "English unless the instruction says otherwise."
        )


def _weighted_mean(weighted: Sequence[tuple[float, float]]) -> float | None:
    total = sum(weight for weight, _ in weighted)
    return sum(weight * value for weight, value in weighted) / total if total else None
