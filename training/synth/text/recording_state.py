"""The state of one recording while it is generated: its random generator, domain, people and values, and how slots of
templates are filled.

Knows nothing about particular registers or about summaries.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from training.data.record import Split
from training.synth.text import dates, names, open_vocabulary, slot_values
from training.synth.text.domains import Domain, domains_for
from training.synth.text.phrase_pools import POOLS
from training.synth.text.slot_phrases import SLOT_PHRASES
from training.synth.text.template_language import render, slot_names

_BRIDGES = [
    ", no wait, ",
    ", sorry, ",
    ", I mean ",
    ", no, ",
    ", or rather ",
    ", sorry, I meant ",
    ", no, make that ",
    ", actually no, ",
    ", correction, ",
]

_PROPER = re.compile(
    r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Jan|Feb|March|April|May |June|July|Aug|Sept|Oct|Nov|Dec|Dr|Mr|Ms|(?!From |On |At |In |By |The |And |To |With |For |Is |Are |Does |Has |Can |Did |Will |Who |A |So |Hi |Hello |Hey |Then |If |What |Could |Would )[A-Z][\w']+ [A-Z]"  # noqa: E501
)

_BEFORE = {"time2": "time", "time3": "time2"}  # these times are in the order in which things happen


def slot_kind(name: str) -> str:
    """Return the kind of a slot: its name without the number that distinguishes slots of the same kind."""
    return name.rstrip("0123456789")


@dataclass
class RecordingState:
    """The state of one recording.

    scene: values of slots for the whole recording. cast: first names of the people who speak or are addressed, in the
    order of the speakers. inventor: if it is set, people and things come from it instead of the lists of the domains.
    """

    rng: Random
    split: Split
    domain: Domain
    scene: dict[str, str] = field(default_factory=dict)
    cast: list[str] = field(default_factory=list)
    correct_rate: float = 0.04
    currency: str = ""
    drawn_values: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    inventor: open_vocabulary.Inventor | None = None

    def lower_first_letter(self, text: str) -> str:
        """Return the sentence to follow an opener: with a small first letter, unless it begins with a name or "I"."""
        head = re.match(r"[\w']+", text)
        word = head[0].removesuffix("'s") if head else ""
        known = word in self.names or any(
            word in v.split() for v in (*self.scene.values(), *self.drawn_values) if v[:1].isupper()
        )
        keep = (
            word in ("I", "I'm", "I'll", "I've", "I'd")
            or known
            or not word
            or text[1:2].isupper()
            or bool(_PROPER.match(text))
        )
        return text if keep else text[0].lower() + text[1:]

    def happens(self, p: float) -> bool:
        """Return True with the probability `p`."""
        return self.rng.random() < p

    def pick(self, templates: Sequence[str]) -> str:
        """Return one of the templates. A sixth of a list of six or more is used in the test split only, which uses no
        others of that list.
        """
        if len(templates) >= 6:
            kept = [t for t in templates if (crc32(t.encode()) % 6 == 0) == (self.split == "test")]
            templates = kept or templates
        return templates[int(self.rng.random() * len(templates))]

    def change_domain(self, allowed: tuple[str, ...]) -> None:
        """Change the domain, as a bulletin does between items, to one of the allowed ones (none means all)."""
        if self.inventor:
            self.domain = self.inventor.domain()
            return
        self.domain = self.rng.choice([d for d in domains_for(self.split) if not allowed or d.name in allowed])

    def first_name(self) -> str:
        """Return a first name, if possible one that the recording does not use yet."""
        known = (
            open_vocabulary.words_of_split("first names", self.split)
            if self.inventor
            else names.first_names(self.split)
        )
        for _ in range(8):
            name = self.rng.choice(known)
            if name not in self.names:
                break
        self.names.add(name)
        return name

    def full_name(self) -> str:
        """Return a first name and a surname."""
        return f"{self.first_name()} {self.surname()}"

    def surname(self) -> str:
        """Return a surname."""
        return self.rng.choice(
            open_vocabulary.words_of_split("surnames", self.split) if self.inventor else names.surnames(self.split)
        )

    def in_currency(self, text: str) -> str:
        """Return the amount in the currency of this recording."""
        if not self.currency:
            self.currency = self.rng.choice(["$", "$", "$", "£", "€"])
        number = text.strip("$£").replace(" dollars", "").replace(" euros", "").replace(" pounds", "")
        word = {"$": "dollars", "£": "pounds", "€": "euros"}[self.currency]
        return f"{number} {word}" if self.currency == "€" or text[0] not in "$£" else self.currency + number

    def _similar_amount(self, text: str) -> str:
        """Return an amount of the same order of magnitude as another, for a comparison."""
        digits = "".join(c for c in text if c.isdigit() or c == ".")
        scaled = float(digits) * self.rng.choice([0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.5])
        number = (
            f"{scaled:.1f}"
            if "." in digits or "million" in text
            else f"{max(2, round(scaled / 5) * 5 if scaled > 50 else round(scaled)):,}"
        )
        return re.sub(r"\d[\d,.]*", number, text, count=1)

    def draw(self, kind: str, local: dict[str, str]) -> str:
        """Draw a value of this kind, if possible one that the recording does not use yet. local: the values of slots
        that are known.
        """
        for _ in range(6):
            value = self._draw(kind, local)
            if value not in self.drawn_values:
                break
        self.drawn_values.add(value)
        return value

    def _draw(self, kind: str, local: dict[str, str]) -> str:
        r, d = self.rng, self.domain
        if kind in slot_values.VALUES:
            return (
                self.in_currency(slot_values.VALUES[kind](r))
                if kind in ("money", "big", "cash")
                else slot_values.VALUES[kind](r)
            )
        match kind:
            case "who":
                free = [n for n in self.cast if n not in local.values()] or [self.first_name()]
                return r.choice(free)
            case "person" | "expert":
                return self.full_name()
            case "first":
                return self.first_name()
            case "dr":
                return f"Dr. {self.surname()}"
            case "title":
                return f"{r.choice(['Mr.', 'Mrs.', 'Ms.'])} {self.surname()}"
            case "third":
                return r.choice([self.first_name, self.full_name, lambda: r.choice(d.roles)])()
            case "org" | "supplier":
                return names.company_name(r, self.split)
            case "place":
                return r.choice(names.towns(self.split))
            case "road":
                return names.street_name(r, self.split)
            case "product":
                return names.product_name(r, self.split)
            case "spot":
                return r.choice(d.places)
            case "win" | "lose":
                fresh = [c for c in d.choices if not set(c) & self.drawn_values] or list(d.choices)
                pair = list(r.choice(fresh))
                self.drawn_values.update(pair)
                r.shuffle(pair)
                local["win"], local["lose"] = pair
                return local[kind]
            case "score":
                return (
                    f"{r.randint(1, 5)} to {r.choice(['nil', '0', '1', '2'])}"
                    if r.random() < 0.7
                    else f"{r.randint(60, 99)} to {r.randint(50, 98)}"
                )
            case "temp":
                return str(r.randint(3, 34))
            case "year":
                return str(
                    r.randint(1780, 2019) if d.name == "research" or self.happens(0.5) else r.randint(1960, 2019)
                )
            case "chapter" | "plat" | "photo":
                return str(r.randint(2, 24))
            case "bed":
                return r.choice([f"bed {r.randint(1, 24)}", f"room {r.randint(1, 30)}"])
            case "size":
                return r.choice(
                    [
                        f"{r.randint(2, 90)} centimetres",
                        f"{r.randint(2, 40)} millimetres",
                        f"{r.randint(2, 9)} metres",
                        f"{r.randint(1, 9)}.{r.randint(1, 9)} metres",
                        f"{r.randint(2, 30)} inches",
                    ]
                )
            case "guest":
                return self.full_name()
            case _ if self.inventor and kind in open_vocabulary.OPEN_SLOTS:
                return self.inventor.slot_phrase(kind)
            case _ if kind in SLOT_PHRASES:
                return self.pick(SLOT_PHRASES[kind])
            case _:
                return r.choice(getattr(d, kind + "s"))

    def fill(self, template: str, local: dict[str, str], *, spoken: bool = False, used: set[str] | None = None) -> str:
        """Render a template. The value of a slot comes from `local` or from the scene; otherwise it is drawn, and kept
        in `local`.

        spoken: whether the speaker may say a wrong value and correct it, at most once in a call. used: collects the
        names of the rendered slots.
        """
        corrected = not spoken

        def value(name: str) -> str:
            nonlocal corrected
            if name[0] == "@":
                return render(self.rng.choice(POOLS[name[1:]]), self.rng, value)
            if used is not None:
                used.add(name)
            text = local.get(name) or self.scene.get(name)
            if text is None:
                text = (
                    self._similar_amount(local[slot_kind(name)])
                    if name in ("money2", "big2") and slot_kind(name) in local
                    else dates.later_time(self.rng, local[_BEFORE[name]])
                    if local.get(_BEFORE.get(name, ""))
                    else self.draw(slot_kind(name), local)
                )
                local[name] = text
            kind = slot_kind(name)
            if not corrected and kind in slot_values.CORRECTABLE and self.happens(self.correct_rate):
                corrected = True
                wrong = self._draw(kind, {})
                if wrong not in text and text not in wrong and len(wrong.split()) <= 3:
                    return f"{wrong}{self.rng.choice(_BRIDGES)}{text}"
            return text

        return render(template, self.rng, value)

    def tell(self, templates: Sequence[str], local: dict[str, str], used: set[str]) -> list[str]:
        """Render up to four of the templates whose slots are all in `used`, those with the most slots first."""
        ready = [t for t in templates if slot_names(t) <= used]
        ready.sort(key=lambda t: (-len(slot_names(t)), self.rng.random()))
        return [self.fill(t, local) for t in ready[:4]]
