"""Days, dates, times and deadlines as they are said and as Whisper writes them.

Each function takes a random generator and returns text. Knows nothing about sentences.
"""

from random import Random

from app.core.text.normalize import normalize

_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
SMALL_NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def ordinal(n: int) -> str:
    """Return the ordinal number: 22 becomes "22nd"."""
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def weekday(r: Random) -> str:
    """Return a weekday, mostly one from Monday to Friday."""
    return r.choice(_DAYS[:5] * 3 + _DAYS[5:])


def month(r: Random) -> str:
    """Return the name of a month."""
    return r.choice(_MONTHS)


def date(r: Random) -> str:
    """Return a day of a month."""
    n, m = r.randint(1, 28), month(r)
    return r.choice(
        [
            f"{m} {ordinal(n)}",
            f"{m} {ordinal(n)}",
            f"the {ordinal(n)} of {m}",
            f"{m} {n}",
            f"the {ordinal(n)}",
            f"{n} {m}",
        ]
    )


def day(r: Random) -> str:
    """Return a day that can follow "to", "until", "by" and "for"."""
    d = weekday(r)
    return r.choice(
        [
            d,
            d,
            d,
            d,
            f"next {d}",
            f"this {d}",
            f"{d} the {ordinal(r.randint(1, 28))}",
            f"{d} morning",
            date(r),
            date(r),
            "tomorrow",
            "next week",
            f"the {r.choice(['first', 'second', 'last'])} week of {month(r)}",
        ]
    )


def time(r: Random) -> str:
    """Return a time of day."""
    h = r.randint(7, 12) if r.random() < 0.5 else r.randint(1, 8)
    half = "a.m." if 7 <= h < 12 else "p.m."
    minute = r.choice([0, 0, 15, 30, 30, 45, 10, 20, 40, 50, 5])
    if minute == 0:
        return r.choice(
            [f"{h} {half}", f"{h} o'clock", f"{h} o'clock", f"{h} {half}", "noon" if h == 12 else f"{h}:00 {half}"]
        )
    word = SMALL_NUMBERS[h - 2] if 2 <= h <= 10 else {1: "one", 11: "eleven", 12: "twelve"}[h]
    if minute == 30 and r.random() < 0.3:
        return f"half past {word}"
    if minute in (15, 45) and r.random() < 0.25:
        return f"quarter past {word}" if minute == 15 else f"{h}:45"
    return r.choice([f"{h}:{minute:02d} {half}", f"{h}:{minute:02d}", f"{h}:{minute:02d}"])


def later_time(r: Random, text: str) -> str:
    """Return a time that is some minutes or a few hours after the time in `text`, in figures."""
    figures = next((t for t in normalize(text) if t[0].isdigit()), "9")
    hour, _, minute = figures.partition(":")
    total = int(hour) * 60 + int(minute or 0) + r.choice([10, 15, 20, 25, 30, 45, 60, 75, 90, 120, 180])
    hour24 = total // 60 + (12 if "p.m." in text and int(hour) < 12 else 0)
    shown = f"{(total // 60 - 1) % 12 + 1}:{total % 60:02d}"
    return f"{shown} {'p.m.' if hour24 % 24 >= 12 else 'a.m.'}" if ".m." in text else shown


def time_phrase(r: Random) -> str:
    """Return a day or time with its preposition, such as "on Friday at 3:30"."""
    d = weekday(r)
    return r.choice(
        [
            f"on {d}",
            f"on {d}",
            f"on {d} at {time(r)}",
            f"on {d} at {time(r)}",
            f"next {d}",
            f"on {date(r)}",
            f"on {date(r)} at {time(r)}",
            f"tomorrow at {time(r)}",
            f"{d} morning",
            f"on {d} afternoon",
            f"this {d} at {time(r)}",
            "next week",
        ]
    )


def deadline(r: Random) -> str:
    """Return a deadline with its preposition, such as "by Friday"."""
    d = weekday(r)
    return r.choice(
        [
            f"by {d}",
            f"by {d}",
            f"by {d}",
            f"by next {d}",
            f"by {date(r)}",
            f"before {d}",
            f"by the end of {d}",
            "by the end of the week",
            "by the end of the month",
            f"by {time(r)} on {d}",
            "by tomorrow morning",
            "this afternoon",
            f"on {d}",
            f"by {d} at the latest",
            f"before the end of {month(r)}",
            "by the end of today",
            f"no later than {d}",
            f"by {date(r)}",
        ]
    )


def past_time(r: Random) -> str:
    """Return a time in the past with its preposition, such as "last Friday"."""
    return r.choice(
        [
            f"last {weekday(r)}",
            "yesterday",
            "this morning",
            "last night",
            f"on {weekday(r)}",
            f"at {time(r)}",
            f"around {time(r)}",
            "last week",
            f"on {weekday(r)} night",
            f"{SMALL_NUMBERS[r.randrange(7)]} days ago",
            f"on {date(r)}",
        ]
    )


def period(r: Random) -> str:
    """Return a period such as "this quarter"."""
    return r.choice(
        [
            "this week",
            "last month",
            "this quarter",
            f"in {month(r)}",
            "this year",
            "last year",
            "over the summer",
            "since January",
            "last quarter",
            "this season",
            "over the weekend",
            "in the first half",
        ]
    )
