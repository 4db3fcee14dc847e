# ruff: noqa: RUF001  (typographic marks are meant)
"""What a summary says and the recording does not is found, and nothing else is."""

import json
import random
import time

import pytest

from app.core.text.unsupported import find_unsupported, guess_language

HEARD = (
    "Hi, this is Maria from Brook Dale. The roof will cost forty-two hundred dollars and Tom Reed will order the tiles "
    "by Friday at half past three, not on Monday. Rent is up 25%. Call me at five five five, one two three four. We "
    "met on June 12 in twenty twenty-six, for three and a half hours. The chief executive officer, Steven Meyer, said "
    "okay to the Acme department."
)
GERMAN = (
    "Wir haben mit dem Bürgermeister gesprochen, und die Kosten sind vierhundertfünfundzwanzig Euro. Das Treffen ist "
    "am 3. März um halb vier, und 1.250 Leute werden kommen."
)


def texts(summary: str, heard: str = HEARD, requested: str = "", **how: object) -> list[tuple[str, str]]:
    found = find_unsupported(summary, heard, requested, **how)  # type: ignore[arg-type]
    assert all(summary[one.start : one.end] == one.text for one in found)
    assert [one.start for one in found] == sorted(one.start for one in found)
    return [(one.text, one.kind) for one in found]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("The tiles are ordered by Peter Novak.", [("Peter Novak", "name")]),
        ("Maria Lopez called about the roof.", [("Lopez", "name")]),
        ("John called to say that the roof leaks.", [("John", "name")]),
        ("Novak will pay, and then Novak is angry.", [("Novak", "name"), ("Novak", "name")]),
        ("The roof was Susan's idea.", [("Susan", "name")]),
        ("Attendees: Peter, Maria", [("Peter", "name")]),
        ("Dr. Reed and Mr. Smith agreed.", [("Smith", "name")]),
        ("It was checked by NASA.", [("NASA", "name")]),
        ("The roof costs $4,800.", [("$4,800", "number")]),
        ("The roof costs forty-eight hundred dollars.", [("forty-eight hundred dollars", "number")]),
        ("In total it costs 8,400 dollars.", [("8,400 dollars", "number")]),  # a sum that nobody said
        ("Rent is up 25 euros.", [("25 euros", "number")]),
        ("Tom will order the tiles by Thursday.", [("Thursday", "date")]),
        ("They meet on July 12 and on 2026-06-13.", [("July 12", "date"), ("2026-06-13", "date")]),
        ("They meet at 4:30 p.m. and at quarter past five.", [("4:30 p.m.", "time"), ("quarter past five", "time")]),
        ("They work on Tuesdays on the order R177.", [("Tuesdays", "date"), ("R177", "number")]),
        ("Call 555-9876 about the roof.", [("9876", "number")]),
    ],
)
def test_what_was_not_heard_is_found_with_its_place_and_kind(summary: str, expected: list[tuple[str, str]]) -> None:
    assert texts(summary, spoken_language="en") == expected
    assert texts(summary) == expected, "the transcript's own words tell its language"


@pytest.mark.parametrize(
    "summary",
    [
        "",
        "Tom Reed will order the tiles for $4,200 by Friday at 3:30.",
        "The price is 4200 dollars, or 4.2k; the rent is up twenty-five percent.",
        "Delivery is due on Friday. Everybody agreed. Renovations go on.",
        "Yesterday Maria called; Manager Tom Reed answered.",
        "Brookdale's mayor, Maria, met Tom in Brook-Dale.",
        "Stephen Maier and Steven Meier are one.",  # the model spells the name that was heard
        "The CEO of the Acme Dept. said OK.",
        "They met on 2026-06-12, 12 June 2026, 12.06.2026 and the 12th of June, for 3.5 hours, at 15:30.",
        "Call 555-1234 or (555) 1234.",
        "1. Rent\n2. Roof\n3. Tiles\n4) Wall\n(5) Door\n## 6. Window",
        "**Topic:** Renovation\n**Key Points:**\n- Prices\n## Next Steps\n**Decisions:** Order\nActions:\n- Paint",
        "Roof Repair And Tile Order For Brookdale Home",
        "They meet on Fridays at 3:30 p.m. Helpers come along, for the order D25.",
        "First, one of them pays; second, two of them order.",
        'She said: "Payment is due" (Invoice to follow).',
    ],
)
def test_what_was_heard_is_not_found_however_it_is_written(summary: str) -> None:
    assert texts(summary, spoken_language="en") == []


def test_what_the_caller_names_is_no_invention() -> None:
    summary = "Nothing was said about Zanzibar or the $900 by October."
    assert len(texts(summary)) == 3
    assert texts(summary, requested="Zanzibar, the 900 dollars, and what is due in October") == []


def test_a_short_name_is_not_taken_for_another() -> None:
    assert texts("It was done by Tim.") == [("Tim", "name")]
    assert texts("It was done by Thom.") == []


@pytest.mark.parametrize(
    ("summary", "heard", "how", "expected"),
    [
        # German capitalizes every noun: no names, but numbers and times.
        ("Der Bürgermeister und die Feuerwehr kosten 425 Euro.", GERMAN, {}, []),
        ("Die Feuerwehr kostet 470 Euro.", GERMAN, {"spoken_language": "de"}, [("470", "number")]),
        ("Um 15:30 Uhr kommen 1250 Leute.", GERMAN, {"spoken_language": "de", "summary_language": "de"}, []),
        ("Um 17:40 Uhr kommen sie.", GERMAN, {"spoken_language": "de"}, [("17:40", "time")]),
        # A summary in another language than the spoken one.
        ("The mayor of Springfield spends 425 euros on March 3.", GERMAN, {"spoken_language": "de"}, []),
        ("The mayor spends 4,250 euros at 3:30.", GERMAN, {"spoken_language": "de"}, [("4,250 euros", "number")]),
        ("Tom Reed bestellt die Ziegel für 4.200 Dollar.", HEARD, {"summary_language": "de"}, []),
        ("Tom Reed bestellt die Ziegel für 4.300 Dollar.", HEARD, {"summary_language": "de"}, [("4.300", "number")]),
        ("Cuesta 342 euros.", "La casa es cara y cuesta trescientos cuarenta y dos euros.", {}, []),
        ("Cuesta 343 euros.", "La casa es cara y cuesta trescientos cuarenta y dos euros.", {}, [("343", "number")]),
        ("Il faut 96 euros.", "Il faut quatre-vingt-seize euros pour la maison et le toit.", {}, []),
        ("Il faut 97 euros.", "Il faut quatre-vingt-seize euros pour la maison et le toit.", {}, [("97", "number")]),
        # A language whose number words are not known: only what would have been written in digits.
        ("Maksaa 96 euroa, 5400 ihmistä.", "Talo maksaa paljon.", {"spoken_language": "fi"}, [("5400", "number")]),
    ],
)
def test_in_other_languages_only_numbers_and_times_are_looked_for(
    summary: str, heard: str, how: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert texts(summary, heard, **how) == expected


def test_in_json_the_values_are_looked_at_and_not_the_names_of_properties() -> None:
    answer = {
        "Peter": 'Maria\n"called" Novak\'s roofer',
        "title": "Meeting With Everybody",
        "action_items": [{"who": "Susan", "what": "Tom pays $4,800", "when": "Thursday"}, {"who": "Tenants"}],
        "cost": 4800,
        "urgency": 3,
    }
    expected = [("Novak", "name"), ("Susan", "name"), ("$4,800", "number"), ("Thursday", "date"), ("4800", "number")]
    assert texts(json.dumps(answer), is_json=True) == expected
    broken = json.dumps(answer)[:-40]
    assert texts(broken, is_json=True) == expected[:4]


def test_a_place_behind_an_escape_is_that_in_the_json() -> None:
    summary = '{"a": "\\u00fc\\n and \\"poor\\" Novak paid"}'
    (found,) = find_unsupported(summary, HEARD, is_json=True)
    assert summary[found.start : found.end] == found.text == "Novak"
    (escaped,) = find_unsupported('{"who": "Maria \\u00c9douard\\u00e9"}', HEARD, is_json=True)
    assert (escaped.start, escaped.end, escaped.text) == (15, 33, "\u00c9douard\u00e9")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The roof is in need of repair and that will be done.", "en"),
        ("Das Dach ist nicht dicht und wird repariert.", "de"),
        ("Dach", None),
        ("", None),
    ],
)
def test_a_language_is_told_by_its_common_words(text: str, expected: str | None) -> None:
    assert guess_language(text) == expected


def test_nothing_raises_whatever_the_texts_are() -> None:
    rng = random.Random(5)
    parts = [*"²½٣¼Ⅳ\u0000\ud800\u0301'’\"\\[](){}:;.,-–—%$€£#*|", "Ünal", "Ærø", "1", "12:", "3:30", "99:99:99", "one"]
    parts += [
        "hundred",
        "half past",
        "March",
        "a.m.",
        " ",
        "\n",
        "9" * 400,
        "1,",
        "0-0-0",
        "13/13/2013",
        '{"a":',
        "李",
        "ไทย",
    ]
    for _ in range(3000):
        summary, heard = ("".join(rng.choice(parts) for _ in range(rng.randint(0, 12))) for _ in range(2))
        for language in ("en", "de", None):
            texts(summary, heard, spoken_language=language)
            texts(summary, heard, spoken_language=language, is_json=True, summary_language=language)


HOSTILE = [
    ("1," * 50_000 + "x", "1'" * 50_000),
    ("one" + " " * 50_000 + "two", "three" + " " * 50_000),
    ("11-" * 30_000, "1" * 100_000),
    ("A" * 50_000 + " " + "B." * 20_000, "A." * 50_000),
    (" and ".join(f"Q{number:07}x" for number in range(1000)), " ".join(f"q{number:07}y" for number in range(20_000))),
    (" and ".join(str(number) for number in range(200, 1200)), "1" * 100_000),
    ('"' * 50_000, '"\\' * 30_000),
    ("!" * 50_000 + "*" * 50_000, "-" * 50_000),
]


@pytest.mark.parametrize(("summary", "heard"), HOSTILE)
def test_texts_that_were_made_to_be_slow_are_not(summary: str, heard: str) -> None:
    began = time.process_time()
    for language in ("en", "de"):
        find_unsupported(summary, heard, spoken_language=language)
        find_unsupported(summary, heard, spoken_language=language, is_json=True)
    assert time.process_time() - began < 8, "quadratic time would take minutes"


@pytest.mark.timing
def test_two_hours_of_speech_take_milliseconds() -> None:
    rng = random.Random(1)
    common = "the and of to is was are were with that this for they it a in we you so".split()  # noqa: SIM905
    rare = [
        "".join(rng.choice("bdfglmnprst") + rng.choice("aeiou") for _ in range(rng.randint(1, 4))) for _ in range(4000)
    ]

    def speech(words: int) -> str:
        spoken = [rng.choice(common) if rng.random() < 0.55 else rng.choice(rare) for _ in range(words)]
        for place in range(0, words, 15):
            spoken[place] = spoken[place].capitalize()
            spoken[(place + 7) % words] = rng.choice(["three", "hundred", "Monday", str(rng.randint(1, 5000)), "Novak"])
        return " ".join(spoken)

    heard, summary = speech(20_000), speech(1000)
    seconds = []
    for _ in range(7):
        began = time.process_time()
        found = find_unsupported(summary, heard, spoken_language="en")
        seconds.append(time.process_time() - began)
    assert found
    assert min(seconds) < 0.05


def test_what_the_background_has_is_marked_and_stays_unsupported() -> None:
    summary = "Maria says that Peter Novak and Gustav Ahlgren are here, and that they pay $4,300 by 9:40."
    heard = "This is Maria, and the roof is new, and they will pay for it."
    background = "Agenda: Peter Novak, Ahlgren; it costs 4300 dollars."
    found = find_unsupported(summary, heard, background=background)
    assert [(one.text, one.in_context) for one in found] == [
        ("Peter Novak", True),
        ("Gustav Ahlgren", False),
        ("$4,300", True),
        ("9:40", False),
    ]
    assert [one.in_context for one in find_unsupported(summary, heard)] == [False] * 4
