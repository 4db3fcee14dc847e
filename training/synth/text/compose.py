"""A register's description → a script: opening, points with links and asides between them, closing, until it is long
enough.

Knows nothing about summaries' styles.
"""

import re
from dataclasses import dataclass, field, replace
from random import Random
from typing import cast

from training.data.record import Split
from training.facts.coverage import Fact, FactKind, is_covered
from training.synth.text.domains import DEV_ONLY, TEST_ONLY, domains_for
from training.synth.text.open_vocabulary import Inventor
from training.synth.text.recording_state import RecordingState
from training.synth.text.script import Point, PointTemplate, Script
from training.synth.text.template_language import tidy_text


@dataclass(frozen=True)
class Register:
    """One kind of recording. Texts are templates; see `Matter`.

    words: shortest, usual and longest. speakers: fewest and most. scene: slots drawn before anything is said,
    "name=kind". opens, closes, links, asides: what is said around the points; asides hold no facts. gists, heads,
    topics: for summaries.
    gist_facts: as in `Matter`. apart: every point has a domain of its own. fillers: how often a sentence opens
    with one.
    """

    name: str
    weight: float
    words: tuple[int, int, int]
    speakers: tuple[int, int]
    openings: tuple[str, ...]
    closings: tuple[str, ...]
    point_templates: tuple[PointTemplate, ...]
    gists: tuple[str, ...]
    headlines: tuple[str, ...] = ()
    topics: tuple[str, ...] = ("{topic}",)
    gist_facts: tuple[str, ...] = ()
    scene: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    asides: tuple[str, ...] = ("{@opinion}",)
    chat: float = 0.3
    unnamed_speaker: str = "the speaker"
    fillers: float = 0.06
    domain_per_point: bool = False
    domains: tuple[str, ...] = ()
    lead_templates: tuple[PointTemplate, ...] = field(default=())


def target_words(register: Register, rng: Random, low: int, high: int) -> int:
    """A length: log-normal around the register's usual one, within both bounds."""
    shortest, usual, longest = register.words
    words = int(0.8 * usual * rng.lognormvariate(0.0, 0.6))
    return max(low, shortest, min(words, longest, high))


def spoken_facts(specs: tuple[str, ...], slots: dict[str, str], used: set[str], core: bool) -> list[Fact]:
    """Facts whose slots were all spoken."""
    out = []
    for spec in specs:
        kind, _, rest = spec.partition(":")
        parts = rest.rstrip("!").split("+")
        if not all(p in used for p in parts):
            continue
        texts = [slots[p] for p in parts]
        accept: list[str | list[str]] = [texts] if len(texts) > 1 else []
        out.append(Fact(cast(FactKind, kind), " ".join(texts), accept, core and rest.endswith("!")))
    return out


class _Talk:
    """Turns as they grow."""

    def __init__(self, gen: RecordingState, speakers: int, fillers: float) -> None:
        self.gen, self.speakers, self.fillers = gen, speakers, fillers
        self.turns: list[tuple[int, list[str]]] = []
        self.speaker = 0
        self.words = 0

    def next_speaker(self) -> None:
        if self.speakers > 1:
            self.speaker = (self.speaker + 1 + int(self.gen.rng.random() * (self.speakers - 1))) % self.speakers

    def say(self, text: str) -> None:
        for i, part in enumerate(text.split("//")):
            if i:
                self.next_speaker()
            said = self._add_fillers(tidy_text(part))
            if not said:
                continue
            self.words += len(said.split())
            if self.turns and self.turns[-1][0] == self.speaker:
                self.turns[-1][1].append(said)
            else:
                self.turns.append((self.speaker, [said]))

    def _add_fillers(self, text: str) -> str:
        gen = self.gen
        if text and gen.happens(self.fillers):
            opener = gen.rng.choice(
                [
                    "Um, ",
                    "Uh, ",
                    "So, ",
                    "Okay, ",
                    "Well, ",
                    "Right, ",
                    "Yeah, so ",
                    "And, uh, ",
                    "You know, ",
                    "So, um, ",
                    "Now, ",
                    "Okay so ",
                ]
            )
            text = opener + gen.lower_first_letter(text)
        if gen.happens(self.fillers * 0.8):
            places = [m.start() for m in re.finditer(r"(?<=[a-z]) (?:the|a|to|we|it|is) ", text)]
            if places:
                at = gen.rng.choice(places)
                word = text[at:].split()[0]
                text = text[:at] + gen.rng.choice(
                    [
                        f", uh,{text[at:]}",
                        f" {word}{',' if gen.happens(0.5) else ''}{text[at:]}",
                        f", you know,{text[at:]}",
                        f", um,{text[at:]}",
                    ]
                )
        return text

    def finished_turns(self) -> list[tuple[int, str]]:
        return [(speaker, " ".join(parts)) for speaker, parts in self.turns]


def make_point(gen: RecordingState, matter: PointTemplate, spoken: set[str], *, core: bool) -> tuple[str, Point] | None:
    """A matter said once: the spoken text and the point; None where nothing of it can be told (its slots went
    unsaid)."""
    for _ in range(4):
        local: dict[str, str] = {}
        used: set[str] = set()
        text = gen.fill(gen.pick(matter.say), local, spoken=True, used=used)
        known = used | spoken
        tells = gen.tell(matter.tell, local, known)
        if not tells:
            continue
        values = {**gen.scene, **local}
        action = None
        if matter.act and matter.act[0] in known and matter.act[1] in known:
            who, what, when = matter.act
            action = (values[who], values[what], values[when] if when in used else "")
        tells = [tidy_text(t) for t in tells]
        facts = spoken_facts(matter.facts, values, known, core)
        # The fullest wording goes first, and only what it holds is core: a fact that no summary would mention is not.
        facts = [f if not f.core or is_covered(f, tells[0]) else replace(f, core=False) for f in facts]
        briefs = gen.tell(matter.brief, local, known) or [t.rstrip(".") if not t.endswith(".m.") else t for t in tells]
        return text, Point(
            matter.name,
            tells,
            [tidy_text(b) for b in briefs],
            [tidy_text(h) for h in gen.tell(matter.head, local, known)],
            facts,
            core,
            action,
            matter.is_decision,
            {k: values[k] for k in used if k in values},
        )
    return None


def _draw_scene(gen: RecordingState, register: Register) -> None:
    for item in register.scene:
        name, _, kind = item.partition("=")
        gen.scene[name] = gen.draw(kind or name, gen.scene)


def compose(register: Register, rng: Random, split: Split, words: int, open_vocabulary: float = 0.0) -> Script:
    """A script of about `words` words, with so much chance about things and people that no list holds."""
    own = DEV_ONLY + TEST_ONLY  # where `domains_for` offers them, they suit every register
    fitting = [d for d in domains_for(split) if not register.domains or d.name in register.domains or d.name in own]
    gen = RecordingState(rng, split, rng.choice(fitting))
    if open_vocabulary and rng.random() < open_vocabulary:
        gen.inventor = Inventor(rng, split)
        gen.domain = gen.inventor.domain()
    speakers = rng.randint(*register.speakers)
    gen.cast = [gen.first_name() for _ in range(max(2, speakers))]
    gen.scene["self"], gen.scene["to"] = gen.cast[0], gen.cast[1]
    _draw_scene(gen, register)
    talk = _Talk(gen, speakers, register.fillers * rng.choice([0.0, 0.5, 1.0, 1.0, 2.0]))
    used: set[str] = set()
    talk.say(gen.fill(gen.pick(register.openings), gen.scene, used=used))
    if "self" not in used:
        gen.scene["self"] = register.unnamed_speaker if speakers == 1 else "one of the speakers"
        used.add("self")
    if "next" in gen.scene:
        used.add("next")
    home, opened = gen.domain, talk.words
    points: list[Point] = []
    room = max(1, min(14, round(words / (23 if words < 250 else 30 if words < 500 else 50))))
    last = ""
    asides: set[str] = set()
    suited = [m for m in register.point_templates if not m.domains or gen.domain.name in m.domains]
    queue = [rng.choice([m for m in register.lead_templates if not m.domains or m in suited])]
    core_left = min(8, 2 + words // 90)
    for _ in range(160):
        if talk.words >= words - 8 and points:
            break
        due = talk.words >= opened + len(points) * (words - opened) / room
        if len(points) < room and (due or gen.happens(0.15)):
            options = [
                m
                for m in suited
                if m.name != last and not (m.at_most_once and any(p.template == m.name for p in points))
            ]
            if not (queue or options):
                room = len(points)  # all that happens once has happened
                continue
            matter = queue.pop(0) if queue else rng.choices(options, [m.weight for m in options])[0]
            last = matter.name
            if register.domain_per_point and points:
                gen.change_domain(register.domains)
            made = make_point(gen, matter, used, core=core_left > 0)
            if made is None:
                continue
            spoken, point = made
            link = (
                tidy_text(gen.fill(gen.pick(register.links), {}))
                if points and register.links and gen.happens(0.45)
                else ""
            )
            if link and len(link.split()) < 3 and link[-1] == ".":
                spoken = f"{link[:-1]}, {gen.lower_first_letter(tidy_text(spoken))}"
            elif link:
                talk.say(link)
            talk.say(spoken)
            points.append(point)
            core_left -= 1
            if speakers > 1 and gen.happens(0.5):
                talk.next_speaker()
                if gen.happens(0.5):
                    talk.say(gen.fill("{@react}", {}))
        elif words - talk.words > 8:
            aside = gen.fill(
                gen.pick(register.asides),
                {"topic": rng.choice(gen.domain.topics), "thing": rng.choice(gen.domain.things)},
            )
            ends = {" ".join(aside.split()[:3]), " ".join(aside.split()[-3:])}
            if ends & asides:
                room += gen.happens(0.2)  # nothing new to chat about: another point instead
                continue
            asides |= ends
            if speakers > 1:
                talk.next_speaker()
            talk.say(aside)
    gen.domain = home
    if register.closings and gen.happens(0.85):
        talk.say(gen.fill(gen.pick(register.closings), gen.scene, used=used))
    turns = talk.finished_turns()
    scene = gen.scene
    return Script(
        register.name,
        turns,
        points,
        [tidy_text(t) for t in gen.tell(register.gists, scene, used)],
        [tidy_text(t) for t in gen.tell(register.headlines, scene, used)],
        [tidy_text(t) for t in gen.tell(register.topics, scene, used)],
        spoken_facts(register.gist_facts, scene, used, True),
        sorted(gen.names),
        gen.cast,
    )
