"""Transcripts with the errors of a small speech recognizer: misheard names, homophones, lost punctuation, other formats
of numbers, merged words.

Facts stay recognizable, because `app.core.text.normalize` reads every format of numbers that is made here. A name is
misheard in the same way everywhere in a record, so that the summary copies what its input says. Knows nothing about
audio.
"""

import re
from dataclasses import replace
from random import Random

from training.data.record import Record
from training.facts.coverage import Fact

_HOMOPHONES = {
    "their": "there",
    "there": "their",
    "they're": "their",
    "your": "you're",
    "its": "it's",
    "it's": "its",
    "too": "to",
    "then": "than",
    "whether": "weather",
    "we're": "were",
    "hear": "here",
    "know": "no",
    "okay": "ok",
    "all right": "alright",
    "going to": "gonna",
    "want to": "wanna",
    "let's": "lets",
    "who's": "whose",
    "a lot": "alot",
    "any more": "anymore",
    "every day": "everyday",
    "of course": "ofcourse",
    "thank you": "thankyou",
    "as well": "aswell",
}
_FILLERS = ("um, ", "Um, ", "uh, ", "Uh, ", ", uh,", ", um,", ", you know,")
_SWAPS = [
    ("ph", "f"),
    ("ck", "k"),
    ("c", "k"),
    ("y", "ie"),
    ("ie", "y"),
    ("ee", "ea"),
    ("ll", "l"),
    ("tt", "t"),
    ("nn", "n"),
    ("ss", "s"),
    ("z", "s"),
    ("ei", "ie"),
    ("au", "o"),
    ("oo", "u"),
    ("th", "t"),
    ("w", "v"),
    ("j", "y"),
    ("ai", "ay"),
    ("sch", "sh"),
    ("dt", "t"),
    ("x", "ks"),
    ("ea", "e"),
]
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def mishear_name(name: str, rng: Random) -> str:
    """Return the name as it may be spelled by ear, or the same name if no spelling rule fits."""
    fitting = [(a, b) for a, b in _SWAPS if a in name[1:].lower()]
    if not fitting:
        return name
    wrong, right = rng.choice(fitting)
    at = name.lower().index(wrong, 1)
    return name[:at] + right + name[at + len(wrong) :]


def add_asr_noise(text: str, rng: Random, rate: float) -> str:
    """Return the text with errors in about `rate` (0 to 1) of its words. Names stay as they are (see
    `mishear_record`).
    """
    for filler in _FILLERS:
        if rng.random() < 0.8:
            text = text.replace(filler, "")
    for wrong, right in _HOMOPHONES.items():
        pattern = re.compile(rf"\b{re.escape(wrong)}\b")
        text = pattern.sub(lambda m, r=right: r if rng.random() < rate * 3 else m[0], text)  # type: ignore[misc]
    text = re.sub(
        r"\$(\d[\d,]*)(?! ?million)(?!\.\d)\b", lambda m: f"{m[1]} dollars" if rng.random() < rate * 4 else m[0], text
    )
    text = re.sub(r"(\d)%", lambda m: f"{m[1]} percent" if rng.random() < rate * 4 else m[0], text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", lambda m: "" if rng.random() < rate * 4 else ",", text)
    text = re.sub(
        r" ([ap])\.m\.",
        lambda m: rng.choice([f" {m[1]}m", f"{m[1]}m", f" {m[1].upper()}M"]) if rng.random() < rate * 6 else m[0],
        text,
    )
    text = re.sub(
        r"\b(two|three|four|five|six|seven|eight|nine|ten)\b",
        lambda m: str(_WORDS.index(m[1])) if rng.random() < rate * 3 else m[0],
        text,
    )
    text = re.sub(r",(?= )", lambda m: "" if rng.random() < rate * 2 else ",", text)
    text = re.sub(r"\.(?= [A-Z])", lambda m: rng.choice([",", ""]) if rng.random() < rate else ".", text)
    text = re.sub(r"\b(the|a|of|that|and) ", lambda m: "" if rng.random() < rate * 0.5 else m[0], text)
    return re.sub(r"(?<=[a-z])-(?=[a-z])", lambda m: " " if rng.random() < rate * 6 else "-", text)


def _respell(text: str, names: dict[str, str]) -> str:
    return re.sub(r"[^\W\d_]+", lambda m: names.get(m[0], m[0]), text) if names else text


def mishear_record(record: Record, rng: Random, rate: float) -> Record:
    """Return the record as a speech recognizer would have heard it: with errors in the transcript and the turns, and
    misheard names everywhere.

    The query keeps its spelling except for names, which a user would take from the same transcript. rate: as in
    `add_asr_noise`.
    """
    parts = {part for name in record.names for part in name.split() if part[:1].isupper()}
    names = {part: mishear_name(part, rng) for part in sorted(parts) if rng.random() < min(1.0, rate * 8)}
    facts = [
        Fact(
            f.kind,
            _respell(f.text, names),
            [_respell(a, names) if isinstance(a, str) else [_respell(p, names) for p in a] for a in f.accept],
            f.core,
        )
        for f in record.facts
    ]
    turns = [(speaker, add_asr_noise(_respell(text, names), rng, rate)) for speaker, text in record.turns]
    transcript = " ".join(text for _, text in turns)
    style = {k: _respell(v, names) if k == "focus" else v for k, v in (record.style or {}).items()}
    return replace(
        record,
        transcript=transcript,
        turns=turns,
        facts=facts,
        summary=_respell(record.summary, names),
        query=_respell(record.query, names),
        style=style,
        words=len(transcript.split()),
        names=[_respell(n, names) for n in record.names],
    )
