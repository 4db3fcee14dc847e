"""Repeated sentences are stopped before they are passed on; all other text is passed on unchanged."""

import time

import pytest

from app.engine.repetition import RepetitionDetector


def detect(text: str, size: int) -> tuple[bool, str]:
    """Whether a repetition was found, and what was passed on of a text that comes in pieces of so many letters."""
    watch, out = RepetitionDetector(), ""
    for start in range(0, len(text), size):
        out += watch.feed(text[start : start + size])
        if watch.repeated:
            break
    out += watch.flush()
    return watch.repeated, out


LOOPS = {
    "sentences": (
        "The hall is booked. Anna will call. The hall is booked. Anna",
        "The hall is booked. Anna will call.",
    ),
    "with another case and other marks": (
        "**The hall is booked.** Anna will call. the hall, is booked! And so on",
        "**The hall is booked.** Anna will call.",
    ),
    "a list whose numbers go up": (
        "1. The hall is booked.\n2. Anna brings the cake.\n3. The hall is booked.\n4. Anna",
        "1. The hall is booked.\n2. Anna brings the cake.\n",
    ),
    "numbers within a line": (
        "1. The hall is booked. 2. Anna brings the cake. 3. The hall is booked. 4.",
        "1. The hall is booked. 2. Anna brings the cake.",
    ),
    "letters and brackets": (
        "(a) The hall is booked.\n(b) Anna brings the cake.\n(c) The hall is booked.\n",
        "(a) The hall is booked.\n(b) Anna brings the cake.\n",
    ),
    "bullets without a full stop": (
        "- We met Anna at noon\n- Ben was ill on Monday\n• We met Anna at noon\n- And",
        "- We met Anna at noon\n- Ben was ill on Monday\n",
    ),
    "a whole set of minutes": (
        "# Key points\n- The budget was approved.\n# Key points\n- The budget was approved.\n",
        "# Key points\n- The budget was approved.\n# Key points\n",
    ),
    "a third heading": (
        "Points:\n- The hall is booked.\nDecisions:\n- The hall is booked.\nActions:\n- The hall is booked.\n",
        "Points:\n- The hall is booked.\nDecisions:\n- The hall is booked.\nActions:\n",
    ),
    "Chinese": (
        "会议改到星期五上午十点。请告诉安娜。会议改到星期五上午十点。请",
        "会议改到星期五上午十点。请告诉安娜。",
    ),
    "Japanese": (
        "会議は金曜日の十時に変更されました。よろしく。会議は金曜日の十時に変更されました。",
        "会議は金曜日の十時に変更されました。よろしく。",
    ),
    "Thai, which has no full stops": (
        "การประชุมย้ายไปวันศุกร์เวลาสิบโมง กรุณาแจ้งแอนนาด้วยก่อนวันพุธ การประชุมย้ายไปวันศุกร์เวลาสิบโมง",
        "การประชุมย้ายไปวันศุกร์เวลาสิบโมง กรุณาแจ้งแอนนาด้วยก่อนวันพุธ",
    ),
    "Hindi": (
        "बैठक शुक्रवार को दस बजे होगी। अन्ना को बताएं। बैठक शुक्रवार को दस बजे होगी।",
        "बैठक शुक्रवार को दस बजे होगी। अन्ना को बताएं।",
    ),
    "Arabic": ("هل تم حجز القاعة اليوم؟ نعم. هل تم حجز القاعة اليوم؟ نعم", "هل تم حجز القاعة اليوم؟ نعم."),
    "the end, without a full stop": ("The hall is booked. The hall is booked", "The hall is booked."),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("name", LOOPS)
def test_a_sentence_that_comes_again_ends_the_answer_and_is_not_passed_on(name: str, size: int) -> None:
    text, shown = LOOPS[name]
    assert detect(text, size) == (True, shown)


PARALLEL = {
    "other names": "Anna will call tomorrow. Ben will call tomorrow. Anna will write tomorrow.",
    "other numbers": "1. Room 12 is free on Monday.\n2. Room 13 is free on Monday.\n3. Room 12 is free on Tuesday.",
    "short sentences": "He said yes. She said no. He said yes. She said no.",
    "a decision that is a key point": (
        "Topic: Budget\nKey points:\n- The budget was approved.\n"
        "Decisions:\n- The budget was approved.\nActions:\n- Ben."
    ),
    "an abbreviation": "The train leaves at 5 p.m. Friday is fine. The train leaves at 5 p.m. Saturday is not.",
    "an ordinal": "Der Termin ist am 3. Mai in Berlin. Der Termin ist am 3. Juni in Berlin.",
    "initials": "The letter comes from J. Smith in York. The letter comes from J. Jones in York.",
    "one that goes on": "The hall is booked for May. The hall is booked for May and June.",
    "one that goes on after a comma": "The hall is booked. The hall is booked, but Anna is ill.",
    "Chinese": "安娜星期五打电话。本星期五打电话。安娜星期六打电话。",
    "data": '{"summary": "The hall is booked.", "points": ["The hall is booked."]}',
    "a table's rule": "| a | b |\n|---|---|\n| 1 | 2 |\n|---|---|\n",
    "white space": "  \n\nThe end.  \n\n",
    "nothing": "",
}


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("name", PARALLEL)
def test_like_sentences_pass_untouched(name: str, size: int) -> None:
    assert detect(PARALLEL[name], size) == (False, PARALLEL[name])


def test_text_is_held_back_only_while_it_may_be_a_repetition() -> None:
    watch = RepetitionDetector()
    pieces = ["The ", "hall ", "is ", "booked. ", "The ", "hall ", "costs ", "nothing. "]
    assert [watch.feed(piece) for piece in pieces[:4]] == ["The ", "hall ", "is ", "booked."]
    assert [watch.feed(piece) for piece in pieces[4:]] == ["", "", " The hall costs ", "nothing."]
    assert watch.flush() == " ", "space waits for what it stands before"


def test_a_long_answer_is_watched_in_little_time() -> None:
    watch = RepetitionDetector()
    passed = "".join(
        watch.feed(f"{word} ") for n in range(400) for word in f"The price of item {n} is {n} euros.".split()
    )
    assert not watch.repeated
    assert len(passed + watch.flush()) > 10_000


def test_a_sentence_without_an_end_takes_no_more_time_for_each_letter() -> None:
    watch, began = RepetitionDetector(), time.process_time()
    for n in range(4000):
        watch.feed(f"word{n} ")
    assert time.process_time() - began < 5
