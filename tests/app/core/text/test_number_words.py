"""Numbers are written in words as a recognizer writes them, without what differs between recognizers."""

import pytest

from app.core.text.number_words import number_in_words


@pytest.mark.parametrize(
    ("number", "language", "words"),
    [
        (0, "de", "null"),
        (16, "de", "sechzehn"),
        (42, "de", "zweiundvierzig"),
        (100, "de", "hundert"),
        (3421, "de", "dreitausendvierhunderteinundzwanzig"),
        (42, "es", "cuarentaydos"),
        (100, "es", "cien"),
        (115, "es", "cientoquince"),
        (2026, "es", "dosmilveintiseis"),
        (71, "fr", "soixanteetonze"),
        (80, "fr", "quatrevingt"),
        (91, "fr", "quatrevingtonze"),
        (1999, "fr", "milleneufcentquatrevingtdixneuf"),
        (1_000_000, "fr", None),
        (-1, "de", None),
        (7, "fi", None),
    ],
)
def test_number_in_words(number: int, language: str, words: str | None) -> None:
    assert number_in_words(number, language) == words
