"""Turn written text into the words that a speech engine should say, so that the audio says what the transcript says.

Each engine reads something wrongly: "$4,200" as "four, two hundred dollars", "3:30 p.m." with a pause inside, phone
numbers as millions, and addresses without their punctuation. So numbers, signs and abbreviations become words here, for
all engines. The words are American ("four hundred twenty", "March third"), as in most transcripts. Knows nothing about
how engines are run.
"""

import re
from collections.abc import Callable

from training.synth.speech.voices import Engine

# Stands for the name of the letter A, which each engine needs in another spelling: "A" is spoken as the article, flite
# reads "AM" as the verb, and espeak-ng speaks "ay" like "eye".
_A = "\ue000"
_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
_MAGNITUDES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion"}
_STREETS = {"St": "Street", "Rd": "Road", "Ave": "Avenue"}
_SIGNS = {".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark"}
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_WORDS = {
    "Dr.": "Doctor", "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Prof.": "Professor", "Jr.": "Junior",
    "Sr.": "Senior", "vs.": "versus", "approx.": "approximately", "etc.": "et cetera", "e.g.": "for example",
    "i.e.": "that is", "Inc.": "Incorporated", "Ltd.": "Limited", "Dept.": "Department", "&": "and", "@": "at",
    "#": "number", "+": "plus", "=": "equals", "°": "degrees",
}  # fmt: skip
_MEASURES = {
    "km": "kilometers", "cm": "centimeters", "mm": "millimeters", "kg": "kilograms", "mg": "milligrams",
    "ml": "milliliters", "lb": "pounds", "lbs": "pounds", "kWh": "kilowatt hours", "kW": "kilowatts", "MB": "megabytes",
    "GB": "gigabytes", "TB": "terabytes", "ms": "milliseconds", "mph": "miles per hour", "ft": "feet",
    "°C": "degrees Celsius", "°F": "degrees Fahrenheit",
}  # fmt: skip
# A number after one of these words is a name and not a quantity, and is read digit by digit.
_LABELS = (
    "code|pin|ticket|order|invoice|reference|ref|case|account|extension|ext|flight|booking|serial|badge|zip|postcode|"
    "confirmation"
)


def verbalize(text: str, engine: Engine | None = "espeak") -> str:
    """Return the text with numbers, signs, addresses and abbreviations as words. Punctuation stays, because it makes
    pauses.

    engine: the engine, on which only the spelling of the letter A depends; None leaves it as a letter.
    """
    text = text.replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"').replace("\u00a0", " ")
    for pattern, words in _RULES:
        text = pattern.sub(words, text)
    text = re.sub(r"\s*[\u2013\u2014]\s*", ", ", text)
    text = text.replace(_A, "A" if engine is None else "ay" if engine == "flite" else "eh")
    return re.sub(r"\s+", " ", re.sub(r'["*_<>\[\]{}|~^\\]', " ", text)).strip()


def cardinal(number: int) -> str:
    """Return the number in words: 4200 becomes "four thousand two hundred"."""
    if number < 20:
        return _UNITS[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_UNITS[number % 10]}" if number % 10 else "")
    for size, name in _SCALES:
        if number >= size:
            rest = f" {cardinal(number % size)}" if number % size else ""
            return f"{cardinal(number // size)} {name}{rest}"
    raise ValueError(number)


def ordinal(number: int) -> str:
    """Return the ordinal number in words: 22 becomes "twenty-second"."""
    words = cardinal(number)
    head, last = words[: -len(tail)] if (tail := re.split(r"[ -]", words)[-1]) else words, tail
    if last in _IRREGULAR_ORDINALS:
        return head + _IRREGULAR_ORDINALS[last]
    return f"{head}{last[:-1]}ieth" if last.endswith("y") else f"{head}{last}th"


def digits(text: str) -> str:
    """Return letters and digits one by one, with a comma between groups: "B-407" becomes "B, four oh seven"."""
    groups = [g for g in re.split(r"[-\s.()/]+", text) if g]
    named = (" ".join("oh" if c == "0" else _UNITS[int(c)] if c.isdigit() else _letter(c) for c in g) for g in groups)
    return ", ".join(named)


def _letter(letter: str) -> str:
    return _A if letter in "aA" else letter.upper()


def number(text: str) -> str:
    """Return a number such as "1,250" or "12.5" in words."""
    whole, _, fraction = text.replace(",", "").partition(".")
    if len(whole) > 12:
        return digits(whole)
    words = cardinal(int(whole or 0))
    return f"{words} point {' '.join(_UNITS[int(c)] for c in fraction)}" if fraction else words


def year(value: int) -> str:
    """Return the year in words: 1984 becomes "nineteen eighty-four", and 2007 "two thousand seven"."""
    first, last = divmod(value, 100)
    if value % 1000 < 10:
        return cardinal(value)
    if not last:
        return f"{cardinal(first)} hundred"
    return f"{cardinal(first)} {cardinal(last) if last > 9 else 'oh ' + _UNITS[last]}"


def _money(match: re.Match[str]) -> str:
    sign, amount, scale = match[1], match[2].replace(",", ""), (match[3] or "").strip()
    one, small = _CURRENCIES[sign]
    whole, _, fraction = amount.partition(".")
    if scale:
        return f"{number(amount)} {_MAGNITUDES.get(scale.lower(), scale.lower())} {one}s"
    words = f"{cardinal(int(whole))} {one}{'' if int(whole) == 1 else 's'}"
    cents = int(fraction[:2].ljust(2, "0")) if fraction else 0
    return f"{words} and {cardinal(cents)} {'pence' if small == 'penny' else small + 's'}" if cents else words


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if hour > 23 or minute > 59:
        return match[0]
    words = cardinal(hour)
    if minute:
        words += f" {cardinal(minute)}" if minute > 9 else f" oh {_UNITS[minute]}"
    elif not match[3]:
        words += " o'clock" if 0 < hour <= 12 else " hundred"
    return words + _half(match[3])


def _hour(match: re.Match[str]) -> str:
    return cardinal(int(match[1])) + _half(match[2])


def _half(letter: str | None) -> str:
    return {"a": f" {_A} M", "p": " PM"}[letter.lower()] if letter else ""


def _address(match: re.Match[str]) -> str:
    bare = re.sub(r"^(https?://)?(www\.)?", "", match[0]).rstrip("/")
    for sign, word in _SIGNS.items():
        bare = bare.replace(sign, f" {word} ")
    return re.sub(r"\d+", lambda m: digits(m[0]), " ".join(bare.split()))


def _plain_number(match: re.Match[str]) -> str:
    text = match[0]
    plain = text.replace(",", "").split(".")[0]
    if "," not in text and "." not in text:
        if len(plain) >= 5 or (len(plain) > 1 and plain[0] == "0"):
            return digits(text)
        if len(plain) == 4 and 1900 <= int(plain) <= 2099:
            return year(int(plain))
    return number(text)


def _code(match: re.Match[str]) -> str:
    """Return a code in words: "B12" becomes "B twelve", and "H532" "H five three two"."""
    figures = match[2]
    words = cardinal(int(figures)) if len(figures) < 3 and figures[0] != "0" else digits(figures)
    return " ".join([*map(_letter, match[1]), words, *map(_letter, match[3])])


def _range(match: re.Match[str]) -> str:
    """Return a range in words, such as "10-15"; "45-232" is a code and not a range."""
    if len(match[2]) - len(match[1]) > 0 and len(match[2]) > 2:
        return digits(match[0])
    return f"{cardinal(int(match[1]))} to {cardinal(int(match[2]))}"


def _decade(match: re.Match[str]) -> str:
    words = year(int(match[1])) if len(match[1]) == 4 else cardinal(int(match[1]))
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
# The full stop of the abbreviation is removed, unless it ends the sentence too.
_HALF = r"([ap])\.?\s?m\b(?:\.(?=\s+(?-i:[a-z0-9])|\s*[,;:?!]))?"
_HOST = r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|io|uk)\b(?:/[\w./-]*\w)?"
_UNIT = "|".join(sorted(_MEASURES, key=len, reverse=True))
_ABBREVIATION = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in _WORDS)
# Applied in this order: special forms first, plain numbers last.
_RULES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _address),
    (re.compile(r"\bhttps?://[\w./?=&%-]*[\w/]|\bwww\.[\w./-]*[\w/]"), _address),
    (re.compile(_HOST), _address),
    (re.compile(rf"([$£€])\s?({_NUMBER})(\s(?:thousand|million|billion)\b|(?:k|mn?|bn)\b)?", re.I), _money),
    (re.compile(rf"\b(\d{{1,2}}):(\d{{2}})\b(?:\s?{_HALF})?", re.I), _clock),
    (re.compile(rf"\b(\d{{1,2}})\s?{_HALF}", re.I), _hour),
    (re.compile(rf"\b({_MONTHS})\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?![:,]\d)"), lambda m: f"{m[1]} {ordinal(int(m[2]))}"),
    (
        re.compile(rf"\b(?:[Tt]he\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTHS})\b"),
        lambda m: f"the {ordinal(int(m[1]))} of {m[2]}",
    ),
    (re.compile(r"\b(\d+(?:,\d{3})*)(?:st|nd|rd|th)\b"), lambda m: ordinal(int(m[1].replace(",", "")))),
    (
        re.compile(r"(?:\+?\d{1,3}[ -])?\(?\b\d{3}\)?[ -]\d{3}[ -]\d{4}\b|\b\d{3}-\d{4}\b"),
        lambda m: digits(m[0].strip("+()")),
    ),
    (
        re.compile(rf"\b({_LABELS})((?:\s+(?:number|no\.?|is))*\s+)(\d{{3,}})\b(?!,\d)", re.I),
        lambda m: f"{m[1]}{m[2]}{digits(m[3])}",
    ),
    (re.compile(r"\b(\d0|\d{3}0)s\b"), _decade),
    (re.compile(rf"({_NUMBER})\s?%"), lambda m: f"{number(m[1])} percent"),
    (re.compile(rf"({_NUMBER})\s?({_UNIT})\b"), lambda m: f"{number(m[1])} {_MEASURES[m[2]]}"),
    (re.compile(rf"({_NUMBER})\s?(k|mn|bn)\b", re.I), lambda m: f"{number(m[1])} {_MAGNITUDES[m[2].lower()]}"),
    (re.compile(r"\b([A-Z]{1,3})-?(\d{1,5})([A-Z]?)\b"), _code),
    (re.compile(r"\b24/7\b"), lambda m: "twenty-four seven"),
    (re.compile(r"\b(\d{1,3}) ?[-\N{EN DASH}] ?(\d{1,3})\b(?![-\d])"), _range),
    (re.compile(r"(?<=\d)\s?°"), lambda m: " degrees"),
    (re.compile(r"\bNo\.\s?(?=\d)"), lambda m: "number "),
    (re.compile(r"\b([A-Z\d][\w-]* )(St|Rd|Ave)\.(?!\w)"), lambda m: m[1] + _STREETS[m[2]]),
    (re.compile(r"\bSt\.(?= [A-Z])"), lambda m: "Saint"),
    (re.compile(_ABBREVIATION), lambda m: _WORDS[m[0]]),
    (re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=[A-Za-z])/(?=[A-Za-z])"), lambda m: " "),
    (re.compile(_NUMBER), _plain_number),
]
