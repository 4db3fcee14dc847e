# ruff: noqa: RUF001, SIM905  (a typographic apostrophe is meant; word lists read better as text)
"""Facts of a recording, and how many of them a summary covers; its invented figures and names; its repetition.

The comparison uses normalized tokens (`app.core.text.normalize`), so it needs no model and is deterministic. It cannot
see a contradiction that uses only words of the source. Knows nothing about how the recordings or summaries were made.

`hallucinations` counts as it did when the published figures were measured, and is not changed. What the service reports
to callers is found by `app.core.text.unsupported`, which is more careful.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, cast

from app.core.text.normalize import MONTHS, WEEKDAYS
from app.core.text.normalize import normalize as normalize_uncached

FactKind = Literal["who", "what", "when", "where", "amount", "decision", "action", "reason", "problem", "result"]

# The same texts are compared with many facts.
normalize = lru_cache(maxsize=4096)(normalize_uncached)

_STOP = frozenset(
    "a an the of to in on at by for with from and or is are was were be been being will would has have had it "
    "its that this their his her our your my they we he she i you as into some any about up out there who which".split()
)
_CURRENCY = {"dollars", "pounds", "euros", "percent"}
_NOT_NAMES = frozenset(
    "I I'm I'll I've I'd OK TV Dr Mr Mrs Ms PDF Topic Key Decisions Decision Actions Action No None Key Points "
    "Note TLDR TL DR AM PM A.M P.M The A An This That It They Speaker Caller".split()
)
_WORD = re.compile(r"[^\W\d_][\w'’.-]*|[$£€]?\d[\w.,:%-]*")
_SENTENCE_END = re.compile(r"(?<=[.!?:;])(?<![ap]\.m\.)(?<!\b(?:Dr|Mr|St|Ms)\.)(?<!\bMrs\.)\s+|\n+")


@dataclass(frozen=True)
class Fact:
    """One thing that the recording says.

    accept: alternatives, of which any counts as a mention; a list inside means all of its strings, anywhere in the
    summary. Empty means `text` itself. core: whether a summary without this fact is poor.
    """

    kind: FactKind
    text: str
    accept: list[str | list[str]] = field(default_factory=list)
    core: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fact as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Fact":
        """Return the fact of values that `to_json` returned. Raises KeyError if one is missing."""
        return cls(
            cast(FactKind, data["kind"]), data["text"], list(data.get("accept", [])), bool(data.get("core", False))
        )


@dataclass(frozen=True)
class FactCounts:
    """The result of `count_facts`. `hallucinated` holds the figures and names of the summary that the source does not
    support.
    """

    core_covered: int
    core_total: int
    covered: int
    total: int
    hallucinated: list[str]


def _stem(token: str) -> str:
    if token[0].isdigit() or len(token) <= 3:
        return token
    for suffix in ("ing", "ed", "es", "s"):
        if token.endswith(suffix) and len(token) - len(suffix) >= 3:
            token = token[: -len(suffix)]
            break
    if len(token) > 3 and token[-1] == token[-2] and token[-1] not in "aeiouls":
        token = token[:-1]
    return token.rstrip("e") if len(token) > 3 else token


@lru_cache(maxsize=8192)
def _content_tokens(text: str) -> tuple[str, ...]:
    return tuple(_stem(t) for t in normalize(text) if t not in _STOP)


@lru_cache(maxsize=2048)
def _sentences(summary: str) -> tuple[tuple[str, ...], ...]:
    return tuple(_content_tokens(s) for s in _SENTENCE_END.split(summary) if s.strip())


def _mentions(phrase: str, summary: str) -> bool:
    """Return whether one sentence of the summary has all figures of the phrase, and its content words (three quarters
    of them if there are four or more).
    """
    wanted = _content_tokens(phrase)
    if not wanted:
        return False
    figures = {t for t in wanted if t[0].isdigit()}
    words = [t for t in wanted if not t[0].isdigit()]
    need = len(words) if len(words) < 4 else -(-len(words) * 3 // 4)
    for sentence in _sentences(summary):
        have = set(sentence)
        if figures <= have and sum(w in have for w in words) >= need:
            return True
    return False


def is_covered(fact: Fact, summary: str) -> bool:
    """Return whether the summary mentions the fact in any of its accepted forms."""
    for alternative in fact.accept or [fact.text]:
        parts = [alternative] if isinstance(alternative, str) else alternative
        if parts and all(_mentions(part, summary) for part in parts):
            return True
    return False


def count_facts(facts: Sequence[Fact], summary: str, source_text: str) -> FactCounts:
    """Count the facts that the summary covers, and find what it invents compared with `source_text`, the transcript."""
    hits = [is_covered(fact, summary) for fact in facts]
    core = [hit for fact, hit in zip(facts, hits, strict=True) if fact.core]
    return FactCounts(sum(core), len(core), sum(hits), len(hits), hallucinations(summary, source_text))


def hallucinations(summary: str, source_text: str) -> list[str]:
    """Return the figures, dates, times, amounts and proper names of the summary that are not in the source, each
    once.
    """
    source = normalize(source_text)
    known = set(source)
    # A hyphen or a space inside a name is not an invention, so names are also searched in the text without spaces.
    solid = "".join(source)
    pairs = set(pairwise(source))
    found: dict[str, None] = {}
    text = re.sub(r"(?m)^\s*(?:\d+[.)]|[-*•])\s+", "", summary)
    tokens = normalize(text)
    for i, token in enumerate(tokens):
        after = tokens[i + 1] if i + 1 < len(tokens) else ""
        if token[0].isdigit():
            if token in ("1", "2") and after not in _CURRENCY:
                continue  # "one of them" and "first" are not figures
            if token not in known:
                found[token] = None
            elif after in _CURRENCY and (token, after) not in pairs and after not in known:
                found[f"{token} {after}"] = None
        elif (token in WEEKDAYS and token not in known) or (
            token in MONTHS and token not in ("may", "march") and token not in known
        ):
            found[token] = None
    for name in proper_names(text):
        parts = [_stem(t) for t in normalize(name)]
        if parts and not all(p in known or p in solid for p in normalize(name)):
            found[name] = None
    return list(found)


def proper_names(text: str) -> Iterable[str]:
    """Yield the capitalized words, and sequences of them, that are names and do not only open a sentence. Lines in
    title case are skipped.
    """
    for line in _SENTENCE_END.split(text):
        words = list(_WORD.finditer(line))
        letters = [w for w in words if w[0][0].isalpha()]
        capitals = [w for w in letters if w[0][0].isupper()]
        if len(letters) > 4 and len(capitals) > 0.7 * len(letters):
            continue
        run: list[str] = []
        for position, match in enumerate(words):
            word = match[0].rstrip(".'’-").removesuffix("'s").removesuffix("’s")
            opens = (
                position == 0
                or line[: match.start()].rstrip()[-1:] in ('"', "“")
                or line[: match.start()].endswith("m. ")
            )
            if word[:1].isupper() and word not in _NOT_NAMES and word.lower() not in (*MONTHS, *WEEKDAYS):
                # The first word is a name only if the next word is capitalized too ("Maria Lopez called").
                following = words[position + 1][0] if position + 1 < len(words) else ""
                if not opens or (
                    following[:1].isupper()
                    and following not in _NOT_NAMES
                    and following.rstrip(".,").lower() not in (*MONTHS, *WEEKDAYS)
                ):
                    run.append(word)
                    continue
            if run:
                yield " ".join(run)
            run = []
        if run:
            yield " ".join(run)


def repetition_rate(summary: str) -> float:
    """Return the share of the summary's 4-grams, or of its lines if that is higher, that occurred in it before (0 to
    1).
    """
    tokens = re.findall(r"\w+", summary.lower())
    grams = [tuple(tokens[i : i + 4]) for i in range(len(tokens) - 3)]
    lines = [line.strip().lower() for line in summary.splitlines() if line.strip()]
    rates = [1 - len(set(items)) / len(items) for items in (grams, lines) if items]
    return max(rates, default=0.0)
