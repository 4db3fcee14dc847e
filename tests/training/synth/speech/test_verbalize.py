import pytest

from app.core.text.normalize import normalize
from training.synth.speech.verbalize import cardinal, ordinal, verbalize, year


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$4,200", "four thousand two hundred dollars"),
        ("$1", "one dollar"),
        ("£12.05", "twelve pounds and five pence"),
        ("$2.3 million", "two point three million dollars"),
        ("$40k", "forty thousand dollars"),
        ("at 3:30 p.m. on Monday", "at three thirty PM on Monday"),
        ("at 3:30 p.m. We left", "at three thirty PM. We left"),
        ("at 9:05", "at nine oh five"),
        ("at 8:00", "at eight o'clock"),
        ("March 3rd", "March third"),
        ("the 3rd of March", "the third of March"),
        ("on 12 April", "on the twelfth of April"),
        ("the 22nd", "the twenty-second"),
        ("25%, or 25 %", "twenty-five percent, or twenty-five percent"),
        ("7.5 percent", "seven point five percent"),
        ("in 1984 and 2024", "in nineteen eighty-four and twenty twenty-four"),
        ("in 2024, we", "in twenty twenty-four, we"),
        ("the 1990s", "the nineteen nineties"),
        ("call 555-0142.", "call five five five, oh one four two."),
        ("order 1234", "order one two three four"),
        ("1234 people", "one thousand two hundred thirty-four people"),
        ("10-15 people", "ten to fifteen people"),
        ("code 45-232", "code four five, two three two"),
        ("room B3", "room B three"),
        ("H532", "H five three two"),
        ("Dr. Singh vs. Mr. Hall", "Doctor Singh versus Mister Hall"),
        ("No. We wait for No. 5", "No. We wait for number five"),
        ("10 Mill St. near St. Paul", "ten Mill Street near Saint Paul"),
        ("see https://example.com/form", "see example dot com slash form"),
        ("mail anna@foo.org", "mail anna at foo dot org"),
        ("3.5 kg", "three point five kilograms"),
        ("a 4-day trip", "a four-day trip"),
        ("yes \u2014 no", "yes, no"),
        ("R&D", "R&D"),
        ("salt & pepper", "salt and pepper"),
    ],
)
def test_reads_as_a_person_would(written: str, said: str) -> None:
    assert verbalize(written) == said


@pytest.mark.parametrize(
    "written",
    ["$4,200", "3:30", "25%", "March 3rd", "the 3rd of March", "12,500 units", "$2.3 million", "half past three"],
)
def test_what_is_said_is_the_same_fact(written: str) -> None:
    assert normalize(verbalize(written)) == normalize(written)


def test_the_letter_a_is_never_an_article() -> None:
    assert verbalize("room A3 at 6 a.m.", "flite") == "room ay three at six ay M."
    assert verbalize("room A3 at 6 a.m.", "espeak") == "room eh three at six eh M."


@pytest.mark.parametrize("number", [0, 7, 19, 20, 99, 100, 101, 999, 1000, 12_345, 1_000_001, 2_300_000_000])
def test_cardinals_come_back_as_the_number(number: int) -> None:
    assert normalize(cardinal(number)) == (str(number),)


def test_ordinals_and_years() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 5, 8, 9, 12, 20, 21, 30, 100)] == [
        "first", "second", "third", "fifth", "eighth", "ninth", "twelfth", "twentieth", "twenty-first", "thirtieth",
        "one hundredth",
    ]  # fmt: skip
    assert [year(y) for y in (1900, 1905, 2007, 2010)] == [
        "nineteen hundred", "nineteen oh five", "two thousand seven", "twenty ten",
    ]  # fmt: skip


def test_nothing_is_left_for_an_engine_to_misread() -> None:
    text = (
        "Ref 40512: 3 items @ $9.99 (50% off) by 5 p.m. 2/3 done, +45 201-555-0199, v2.0, 37.5\u00b0C, 1,250,000 users*"
    )
    assert not set(verbalize(text)) & set("0123456789$%@*\u00b0")
