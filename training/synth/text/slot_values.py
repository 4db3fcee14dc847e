"""Values of slots as they are said and as Whisper writes them: money, percentages, counts, durations, phone numbers,
and the days and times of `dates`.

Each function takes a random generator and returns text. Knows nothing about sentences.
"""

from collections.abc import Callable
from random import Random

from training.synth.text.dates import (
    SMALL_NUMBERS,
    date,
    day,
    deadline,
    month,
    past_time,
    period,
    time,
    time_phrase,
    weekday,
)


def _format_amount(r: Random, n: int) -> str:
    return r.choice(
        [f"${n:,}", f"${n:,}", f"${n:,}", f"${n:,}", f"{n:,} dollars", f"£{n:,}", f"{n:,} euros", f"{n:,} pounds"]
    )


def money(r: Random) -> str:
    """Return an amount of money from 15 to 95,000."""
    scale = r.choice(
        [(15, 99, 1), (100, 990, 10), (100, 990, 5), (1000, 9900, 100), (1000, 9900, 50), (10000, 95000, 500)]
    )
    return _format_amount(r, r.randrange(*scale))


def large_amount(r: Random) -> str:
    """Return an amount of money from 20,000 to 40 million."""
    if r.random() < 0.5:
        return r.choice(["$", "$", "£"]) + f"{r.choice([r.randint(1, 40), round(r.uniform(1, 9.9), 1)])} million"
    return _format_amount(r, r.randrange(20_000, 900_000, 5_000))


def small_money(r: Random) -> str:
    """Return an amount of money below 400."""
    return _format_amount(r, r.choice([r.randint(3, 60), r.randrange(20, 400, 5)]))


def percentage(r: Random) -> str:
    """Return a percentage."""
    n = r.choice([r.randint(2, 40), r.randrange(5, 95, 5), r.randint(2, 95)])
    return r.choice([f"{n}%", f"{n}%", f"{n}%", f"{n} percent", f"{n}.{r.choice('2345678')}%"])


def small_count(r: Random) -> str:
    """Return a number from two to nine as a word."""
    return r.choice(SMALL_NUMBERS[:8])


def count(r: Random) -> str:
    """Return a number from three to 2,500."""
    return r.choice(
        [
            str(r.randint(11, 60)),
            str(r.randint(11, 400)),
            f"{r.randrange(60, 2500, 10):,}",
            SMALL_NUMBERS[r.randrange(1, 9)],
            str(r.randint(12, 90)),
        ]
    )


def large_count(r: Random) -> str:
    """Return a number from 110 to 60,000."""
    return f"{r.choice([r.randrange(150, 3000, 10), r.randrange(1200, 60000, 100), r.randint(110, 900)]):,}"


def duration(r: Random) -> str:
    """Return a duration from minutes to months."""
    n = r.choice(SMALL_NUMBERS[:7])
    return r.choice(
        [
            f"{n} days",
            f"{n} weeks",
            f"{n} hours",
            f"{r.choice([15, 20, 25, 30, 40, 45, 90])} minutes",
            "an hour and a half",
            "half an hour",
            "a week",
            f"{n} months",
            f"{r.randint(11, 21)} days",
            f"{n} weeks",
            "a couple of days",
            f"{n} and a half hours",
        ]
    )


def minutes(r: Random) -> str:
    """Return a duration from minutes to hours."""
    return r.choice(
        [
            f"{r.choice([11, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 55, 70, 90])} minutes",
            f"{r.choice(SMALL_NUMBERS[:5])} hours",
            "half an hour",
            "an hour and a half",
        ]
    )


def phone(r: Random) -> str:
    """Return a telephone number or an extension."""
    return r.choice(
        [
            f"555-{r.randint(1000, 9999)}",
            f"{r.randint(201, 989)}-555-{r.randint(1000, 9999)}",
            f"extension {r.randint(11, 499)}",
        ]
    )


def code(r: Random) -> str:
    """Return a code of an order, a ticket and the like."""
    return r.choice(
        [
            f"{r.randint(1000, 99999)}",
            f"{r.choice('ABCDEHKMPRT')}{r.randint(100, 999)}",
            f"{r.randint(10, 99)}-{r.randint(100, 999)}",
        ]
    )


def room(r: Random) -> str:
    """Return the name of a room."""
    return r.choice(
        [
            f"room {r.randint(2, 40)}",
            f"room {r.choice('ABCD')}{r.randint(1, 9)}",
            "the main hall",
            "the library",
            "the canteen",
            "the small meeting room",
            f"room {r.randint(101, 420)}",
            "the conference room",
            "the back office",
            "the gym",
            "the community centre",
            "the studio upstairs",
        ]
    )


def age(r: Random) -> str:
    """Return the age of an adult in years."""
    return str(r.randint(19, 91))


VALUES: dict[str, Callable[[Random], str]] = {
    "weekday": weekday,
    "month": month,
    "date": date,
    "day": day,
    "time": time,
    "when": time_phrase,
    "due": deadline,
    "past": past_time,
    "period": period,
    "money": money,
    "big": large_amount,
    "cash": small_money,
    "pct": percentage,
    "few": small_count,
    "count": count,
    "many": large_count,
    "span": duration,
    "minutes": minutes,
    "phone": phone,
    "code": code,
    "room": room,
    "age": age,
}
# Kinds of values that a speaker may say wrongly and correct at once.
CORRECTABLE = frozenset({"weekday", "date", "day", "time", "money", "big", "pct", "few", "count", "room", "month"})
