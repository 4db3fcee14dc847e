"""The template language: `{slot}`, `{Slot}` (capitalized), `{@pool}` (a phrase of a named pool) and `(one|another|)`
(a choice), nested to any depth. A template is parsed once; the caller gives the values of slots when it is rendered.

Knows nothing about registers or facts.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from random import Random


class Slot(str):
    """A slot, by its name."""


class Choice(tuple[tuple["Slot | Choice | str", ...], ...]):
    """A choice between alternatives, each a sequence of nodes."""


Nodes = tuple["Slot | Choice | str", ...]


@lru_cache(maxsize=65536)
def parse(template: str) -> Nodes:
    """Return the nodes of a template. Raises ValueError if its brackets are unbalanced."""
    nodes, end = _sequence(template, 0, "")
    if end != len(template):
        raise ValueError(f"unbalanced template: {template!r}")
    return nodes


def _sequence(text: str, i: int, stop: str) -> tuple[Nodes, int]:
    out: list[Slot | Choice | str] = []
    start = i
    while i < len(text):
        char = text[i]
        if stop and char in stop:
            break
        if char in "({":
            if i > start:
                out.append(text[start:i])
            if char == "{":
                end = text.index("}", i)
                out.append(Slot(text[i + 1 : end]))
                i = end + 1
            else:
                options: list[Nodes] = []
                while True:
                    option, i = _sequence(text, i + 1, "|)")
                    options.append(option)
                    if i >= len(text):
                        raise ValueError(f"unbalanced template: {text!r}")
                    if text[i] == ")":
                        break
                out.append(Choice(options))
                i += 1
            start = i
        elif char in ")}":
            break
        else:
            i += 1
    if i > start:
        out.append(text[start:i])
    return tuple(out), i


@lru_cache(maxsize=65536)
def slot_names(template: str) -> frozenset[str]:
    """Return the lower-case names of all slots in any choice of the template, without pools."""
    found: set[str] = set()

    def walk(nodes: Nodes) -> None:
        for node in nodes:
            if isinstance(node, Slot):
                if not node.startswith("@"):
                    found.add(node[0].lower() + node[1:])
            elif isinstance(node, Choice):
                for option in node:
                    walk(option)

    walk(parse(template))
    return frozenset(found)


def render(template: str, rng: Random, fill: Callable[[str], str]) -> str:
    """Return the template with one alternative of each choice, and with every slot filled by `value(name)`. The text is
    not tidied (see `tidy_text`).
    """
    out: list[str] = []

    def walk(nodes: Nodes) -> None:
        for node in nodes:
            if isinstance(node, Slot):
                name = str(node)
                if name[0].isupper():
                    value = fill(name[0].lower() + name[1:])
                    out.append(value[:1].upper() + value[1:])
                else:
                    out.append(fill(name))
            elif isinstance(node, Choice):
                walk(node[int(rng.random() * len(node))])
            else:
                out.append(node)

    walk(parse(template))
    return "".join(out)


_END = "\x00"  # the full stop of an abbreviation that also ends the sentence
_BEFORE_MARK = re.compile(r"\s+([,.;:!?])")
_MARKS = re.compile(r",([.,;!?])")
_CAPITAL = re.compile(rf"((?<![apP]\.m)(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bSt)[.!?]|{_END})(\s+)([a-z])")
_A_VOWEL = re.compile(r"\b([Aa]) (?=(?:[aeio]|u(?!ni|se|su|ti)|un(?!i)|8|11\b|18|hour|honest))", re.I)
_AN_CONSONANT = re.compile(r"\b([Aa])n (?=(?:[bcdfgjklmnpqrstvwxyz]|h(?!our|onest)|[1-7]\d?\b|one\b|uni|use))")


def tidy_text(text: str) -> str:
    """Return the text with correct spaces, punctuation, articles (a or an) and capitals at the start of sentences."""
    text = " ".join(text.split())
    if " ," in text or " ." in text or " ?" in text or " :" in text or " ;" in text:
        text = _BEFORE_MARK.sub(r"\1", text)
    if ",." in text or ",," in text or ",?" in text or ",:" in text or ",;" in text:
        text = _MARKS.sub(r"\1", text)
    text = (
        text.replace(".m..", ".m." + _END)
        .replace(".m.?", ".m?")
        .replace("..", ".")
        .replace("?.", "?")
        .replace("!.", "!")
    )
    if ". " in text or "? " in text or "! " in text or _END in text:
        text = _CAPITAL.sub(lambda m: m[1] + m[2] + m[3].upper(), text)
    if " a " in text or text[:2] in ("A ", "a "):
        text = _A_VOWEL.sub(r"\1n ", text)
    if " an " in text or text[:3] in ("An ", "an "):
        text = _AN_CONSONANT.sub(r"\1 ", text)
    return (text[:1].upper() + text[1:]).replace(_END, "")
