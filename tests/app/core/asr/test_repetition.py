"""Repetition in texts: how well they compress, and where they say the same several times in a row."""

import pytest

from app.core.asr.repetition import compression_ratio, is_trusted, longest_repetition, repeated_share
from app.core.asr.transcript import TranscriptSegment

# What Whisper base writes of the prompts for agents of Asterisk.
PROMPTS = (
    "Agent Login, please enter your agent number followed by the pound key. Login, incorrect. Please enter your agent "
    "number followed by the pound key. Please enter your password, followed by the pound key. Password incorrect, "
    "please enter your password followed by the pound key. That agent is already logged on. Please enter your agent "
    "number followed by the pound key. Please enter a new extension, followed by pound."
)


def test_a_text_is_compressed_as_letters_whatever_its_script() -> None:
    english = (
        "The meeting on Friday is moved to ten o'clock, because the delivery from Hamburg arrives late. Tell Anna."
    )
    thai = "การประชุมวันศุกร์เลื่อนไปเป็นสิบโมงเพราะของที่ส่งจากฮัมบูร์กมาถึงช้า กรุณาแจ้งแอนนาและเบนด้วยนะครับ"
    assert compression_ratio(thai) < 1.6
    assert compression_ratio(english) < 1.6
    assert compression_ratio("I'm sorry. " * 30) > 5
    assert compression_ratio("ขอโทษครับ " * 30) > 5
    assert compression_ratio("") == 0
    assert compression_ratio("".join(map(chr, range(0x4E00, 0x4E00 + 400)))) < 2


@pytest.mark.parametrize(
    ("text", "stretch"),
    [
        ("", ""),
        ("Ben says so", ""),
        ("I said: ha ha ha ha. Then I left.", " ha ha ha ha"),
        ("AHAHAHAHAHAH!", "AHAHAHAHAHAH"),
        ("One moment! We are closed! We are closed! Bye.", "! We are closed! We are closed! "),
        ("Gut. ขอโทษครับขอโทษครับขอโทษครับ Aus", "ขอโทษครับขอโทษครับขอโทษครับ"),
    ],
)
def test_the_stretch_is_found_that_says_the_same_in_a_row(text: str, stretch: str) -> None:
    start, end = longest_repetition(text)
    assert text[start:end].strip() == stretch.strip()


def test_sentences_that_resemble_each_other_compress_like_a_loop_but_say_little_in_a_row() -> None:
    loop = "Then I can begin. " + "Ha ha! " * 60
    assert compression_ratio(PROMPTS) > 2.4
    assert compression_ratio(loop) > 2.4
    assert repeated_share(PROMPTS) < 0.1
    assert repeated_share(loop) > 0.9
    assert repeated_share("") == 0


@pytest.mark.parametrize(
    ("what", "trusted", "lp", "cr", "ns", "share", "language"),
    [
        ("a message that is played in a loop", True, -0.25, 5.0, 0.1, 1.0, 0.99),
        ("telephone prompts", True, -0.33, 2.99, 0.67, 0.01, 0.98),
        ("laughter", False, -0.09, 20.7, 0.15, 0.99, 0.98),
        ("laughter", False, -0.08, 49.4, 0.08, 1.0, 0.99),
        ("a crowd", False, -0.47, 4.3, 0.65, 0.2, 0.88),
        ("noise", False, -0.18, 14.0, 0.65, 1.0, 0.62),
        ("another language, by an English model", False, -0.64, 3.1, 0.19, 0.1, 1.0),
    ],
)
def test_only_repetition_that_whisper_is_sure_of_is_trusted(
    what: str, trusted: bool, lp: float, cr: float, ns: float, share: float, language: float
) -> None:
    assert is_trusted(TranscriptSegment(0, 30, "…", lp, cr, ns, share), language) is trusted, what
