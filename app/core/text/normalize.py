# ruff: noqa: SIM905, RUF001  (word lists read better as text)
"""Normalize text to tokens that are the same however a value is written.

"$4,200", "4200 dollars" and "forty-two hundred dollars" give the same tokens, and so do "3:30 p.m." and "half past
three", "March 3rd" and "the third of March", "25%" and "twenty-five percent". The words are English. Knows nothing
about facts or summaries. Nothing is cached here, because a service keeps no text of its callers.
"""

import re

UNITS = {w: i for i, w in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen".split())}  # fmt: skip
TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)}
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
ORDINALS = {w: i for i, w in enumerate(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth".split(), start=1)} | {"thirtieth": 30}  # fmt: skip
MONTHS = "january february march april may june july august september october november december".split()
_SHORT_MONTHS = {m[:3]: m for m in MONTHS if m != "may"} | {"sept": "september"}
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_SHORT_DAYS = {"mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday", "thurs": "thursday",  # noqa: E501
               "fri": "friday", "sat": "saturday", "sun": "sunday"}  # fmt: skip
_CURRENCY = {"$": "dollars", "£": "pounds", "€": "euros"}
_SYNONYMS = {"dollar": "dollars", "pound": "pounds", "euro": "euros", "bucks": "dollars", "buck": "dollars", "quid": "pounds",  # noqa: E501
         "midday": "12", "noon": "12", "dozen": "12", "per cent": "percent", "doctor": "dr", "okay": "ok"}  # fmt: skip
# A token is looked up once. Where two of these have the same key, the later one counts.
_REPLACEMENTS = _SHORT_DAYS | _SHORT_MONTHS | _SYNONYMS
_SUFFIX = {"k": 1_000, "m": 1_000_000, "mn": 1_000_000, "bn": 1_000_000_000}

_TIME = re.compile(r"\b(\d{1,2})[:.](\d{2})\s*(?:([ap])\.?m\b\.?)?(?!\d)", re.I)
# The words before "a.m." are only looked at where they begin like an hour, which saves most of the time.
_HOUR_WORDS = "|".join(word for word, value in UNITS.items() if 0 < value <= 12)
_HOUR = re.compile(rf"\b(?=\d|{_HOUR_WORDS})(\d{{1,2}}|[a-z]+)\s*(?:([ap])\.?\s?m\b\.?|o[' ]?clock)", re.I)
_MONEY = re.compile(r"([$£€])\s?(\d[\d,]*(?:\.\d+)?)\s?(thousand|million|billion|k\b|mn?\b|bn\b)?", re.I)
_COMPACT = re.compile(r"\b(\d+(?:\.\d+)?)\s?(k|mn|bn)\b", re.I)
_TOKEN = re.compile(r"\d+:\d\d|\d+(?:\.\d+)?(?:st|nd|rd|th)?|[^\W\d_]+(?:'[^\W\d_]+)?")
_ORDINAL_ENDING = re.compile(r"(st|nd|rd|th)$")
_NUMBER_STARTS = frozenset({"a", *UNITS, *TENS})
_MAX_DIGITS = 300  # a longer run of digits is a token like a word; the largest float has 309
_PAST = re.compile(r"\b(half|quarter) (past|to|of|after) ([a-z]+|\d{1,2})\b")


def _hour(text: str) -> int | None:
    value = UNITS.get(text, int(text) if text.isdigit() else None)
    return value if value is not None and 0 < value <= 12 else None


def _clock(hour: int, minute: int) -> str:
    hour = hour - 12 if hour > 12 else hour
    return f"{hour}:{minute:02d}" if minute else str(hour)


def _fraction_of_hour(match: re.Match[str]) -> str:
    hour = _hour(match[3])
    if hour is None:
        return match[0]
    if match[1] == "half":
        return _clock(hour, 30)
    return _clock(hour, 15) if match[2] in ("past", "after") else _clock(hour - 1 or 12, 45)


def _whole_hour(match: re.Match[str]) -> str:
    hour = _hour(match[1].lower())
    return f" {hour} " if hour is not None else match[0]


def _plain(value: float) -> str:
    if value == float("inf"):
        return "inf"
    return str(int(value)) if value == int(value) else f"{value:.6f}".rstrip("0").rstrip(".")


def _money(match: re.Match[str]) -> str:
    value = float(match[2].replace(",", ""))
    scale = (match[3] or "").lower()
    return f" {_plain(value * (SCALES.get(scale) or _SUFFIX.get(scale) or 1))} {_CURRENCY[match[1]]} "


def _is_number(token: str) -> bool:
    return token.replace(".", "", 1).isdecimal() and len(token) <= _MAX_DIGITS


def _numbers(tokens: list[str]) -> list[str]:
    """Join number words, and digits with words such as "thousand", to one token of digits each."""
    out: list[str] = []
    i = 0
    while i < len(tokens):
        word = tokens[i]
        if word not in _NUMBER_STARTS and not word[0].isdecimal():
            out.append(str(ORDINALS[word]) if word in ORDINALS else word)
            i += 1
            continue
        if word in ("a", "one") and i + 1 < len(tokens) and tokens[i + 1] in SCALES:
            value, i, used = 1.0, i + 1, True
        elif word in UNITS or word in TENS or _is_number(word):
            value, i, used = 0.0, i, False
        else:
            out.append(str(ORDINALS[word]) if word in ORDINALS else word)
            i += 1
            continue
        total, current = 0.0, value if used else 0.0
        last = 0.0  # the last part of the number, which decides whether another part may follow
        start = i
        while i < len(tokens):
            word = tokens[i]
            if word in TENS:
                if last and (last < 100 or i == start):
                    break
                current, last = current + TENS[word], TENS[word]
            elif word in UNITS:
                if last and not (20 <= last < 100 and last % 10 == 0 and 0 < UNITS[word] < 10) and last < 100:
                    break
                current, last = current + UNITS[word], max(UNITS[word], 1)
            elif word in ORDINALS and 20 <= last < 100 and last % 10 == 0 and ORDINALS[word] < 10:
                current += ORDINALS[word]
                i += 1
                break
            elif _is_number(word):
                if i != start or used:
                    break
                current, last = float(word), 1.0
            elif word in SCALES:
                scale = SCALES[word]
                if scale == 100:
                    current = (current or 1) * 100
                else:
                    total, current = total + (current or 1) * scale, 0.0
                last = float(scale)
            elif word == "and" and last in (100, 1_000) and i + 1 < len(tokens) and (
                tokens[i + 1] in UNITS or tokens[i + 1] in TENS
            ):  # fmt: skip
                pass
            elif word == "point" and i + 1 < len(tokens) and tokens[i + 1] in UNITS:
                current += UNITS[tokens[i + 1]] / 10
                last, i = 1.0, i + 1
            else:
                break
            i += 1
        out.append(_plain(total + current))
    return out


def _is_day(token: str) -> bool:
    return len(token) <= 2 and token.isdecimal() and int(token) <= 31


def _dates(tokens: list[str]) -> list[str]:
    """Write the day after the month: "3 march" and "the 3 of march" become "march 3"."""
    out: list[str] = []
    for token in tokens:
        if token in MONTHS and out:
            if _is_day(out[-1]) and not (len(out) > 1 and out[-2] in MONTHS):
                day = out.pop()
                out += [token, day]
                continue
            if len(out) > 1 and out[-1] == "of" and _is_day(out[-2]):
                out.pop()
                day = out.pop()
                out += [token, day]
                continue
        out.append(token)
    return out


def normalize(text: str) -> tuple[str, ...]:
    """Return lower-case tokens, with numbers as digits, money as "4200 dollars", times as "3:30" or "3", and dates as
    "march 3".

    It takes time linear in the length of the text and raises nothing, whatever the text is.
    """
    text = text.lower().replace("’", "'").replace("–", "-").replace("—", " ").replace("per cent", "percent")
    text = _MONEY.sub(_money, text)
    text = _COMPACT.sub(lambda m: f" {_plain(float(m[1]) * _SUFFIX[m[2].lower()])} ", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text).replace("%", " percent ").replace("°", " degrees ")
    text = re.sub(r"(?<=\d)(?=(kg|km|cm|mm|ml|mg|lbs?)\b)", " ", text)
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    text = _PAST.sub(_fraction_of_hour, text)
    text = _TIME.sub(lambda m: f" {_clock(int(m[1]), int(m[2]))} " if ":" in m[0] or m[3] else m[0], text)
    text = _HOUR.sub(_whole_hour, text)
    tokens: list[str] = []
    for token in _TOKEN.findall(text):
        if "'" in token:
            token = token.removesuffix("'s").replace("'", "")
        if token[0].isdigit():
            token = _ORDINAL_ENDING.sub("", token)
        tokens.append(_REPLACEMENTS.get(token, token))
    return tuple(_dates(_numbers(_clock_pairs(tokens))))


def _clock_pairs(tokens: list[str]) -> list[str]:
    """Join spoken times of an hour and a number of minutes ("three thirty", "ten forty-five"). This has to come before
    number words are joined.
    """
    out = list(tokens)
    i = 0
    while i + 1 < len(out):
        hour = UNITS.get(out[i], 0)
        follows_number = i > 0 and (out[i - 1] in TENS or out[i - 1] in SCALES)
        if 1 <= hour <= 12 and out[i + 1] in TENS and TENS[out[i + 1]] <= 50 and not follows_number:
            minute, width = TENS[out[i + 1]], 2
            if i + 2 < len(out) and 0 < UNITS.get(out[i + 2], 0) < 10:
                minute, width = minute + UNITS[out[i + 2]], 3
            if not (i + width < len(out) and out[i + width] in SCALES):
                out[i : i + width] = [_clock(hour, minute)]
        elif 1 <= hour <= 12 and out[i + 1] == "fifteen":
            out[i : i + 2] = [_clock(hour, 15)]
        i += 1
    return out
