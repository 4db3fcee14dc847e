"""Tells text in which Whisper goes round in circles from speech that repeats itself.

Three kinds of text compress well: what Whisper writes when it is caught in a loop ("ha ha ha" two hundred times, after
somebody laughed), a message that is played in a loop, and sentences that resemble each other, such as the prompts of a
telephone menu. Whisper is sure of the words and of the language of the last two. The measured values behind the limits
are in `results/recognizer.json` and `results/whisper-loops.json`. This module knows nothing about Whisper's interface.
"""

import zlib

import numpy as np

from app.core.asr.transcript import TranscriptSegment

# Above this ratio a text repeats itself. It is Whisper's own limit, and the default of the setting.
MAX_COMPRESSION_RATIO = 2.4
# Speech that repeats itself is kept if Whisper is sure of it in every respect; what Whisper makes of a crowd or of
# noise fails at least one of these limits.
_MIN_LOG_PROBABILITY = -0.45
_MIN_LANGUAGE_PROBABILITY = 0.8
_MAX_COMPRESSION_RATIO = 10.0
_MAX_NO_SPEECH = 0.5
# Sentences that resemble each other say little directly twice. Telephone prompts have a high probability of no speech,
# which does not count against them.
_MAX_RESEMBLING_SHARE = 0.3
_MAX_RESEMBLING_COMPRESSION_RATIO = 5.0


def compression_ratio(text: str) -> float:
    """Return the number of letters of a text for each byte of its zlib compression; 0 for an empty text.

    Whisper's own ratio counts UTF-8 bytes. A letter of Thai has three, which begin alike, so that ordinary Thai is
    taken for repetition. Here each letter counts as one byte, whatever its script (two if the text has more than 256
    different letters, which text that repeats itself does not have).
    """
    if not text:
        return 0.0
    numbers = {letter: number for number, letter in enumerate(dict.fromkeys(text))}
    width = 1 if len(numbers) <= 256 else 2
    data = b"".join(numbers[letter].to_bytes(width) for letter in text)
    return len(text) / len(zlib.compress(data))


def longest_repetition(text: str) -> tuple[int, int]:
    """Return (start, end) of the longest stretch of a text that says the same several times in a row, in letters.

    The first time counts as part of the stretch. (0, 0) means that nothing is said twice in a row. The time grows with
    the square of the length: it takes some 20 ms for the longest text that Whisper writes of a window.
    """
    letters = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    best = (0, 0)
    for period in range(1, len(letters) // 2 + 1):
        # The text equals itself, moved by the period, between two neighbors of these positions.
        unequal = np.flatnonzero(letters[period:] != letters[:-period])
        borders = np.concatenate(([-1], unequal, [len(letters) - period]))
        lengths = np.diff(borders) - 1
        longest = int(lengths.argmax())
        length = int(lengths[longest])
        # Less than a whole period is no repetition: any two letters may be equal.
        if length >= period and length + period > best[1] - best[0]:
            start = int(borders[longest]) + 1
            best = start, start + period + length
    return best


def repeated_share(text: str) -> float:
    """Return the share of a text, 0 to 1, that lies in its longest stretch of the same several times in a row."""
    start, end = longest_repetition(text)
    return (end - start) / len(text) if text else 0.0


def is_trusted(segment: TranscriptSegment, language_probability: float) -> bool:
    """Return whether the text of a segment's window, which repeats itself, is what was said.

    language_probability: that of the transcript's language.
    """
    if segment.log_probability < _MIN_LOG_PROBABILITY or language_probability < _MIN_LANGUAGE_PROBABILITY:
        return False
    if (
        segment.repeated_share <= _MAX_RESEMBLING_SHARE
        and segment.compression_ratio <= _MAX_RESEMBLING_COMPRESSION_RATIO
    ):
        return True
    return segment.no_speech_probability < _MAX_NO_SPEECH and segment.compression_ratio <= _MAX_COMPRESSION_RATIO
