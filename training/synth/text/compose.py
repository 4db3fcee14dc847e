"""Compose the script of a recording from the description of its register: an opening, points with links and asides
between them, and a closing.

Knows nothing about the styles of summaries.
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
    """One kind of recording. Its texts are templates, as in `PointTemplate`.

    weight: how often it is drawn, relative to the others. words: the fewest, the usual and the most words. speakers:
    the fewest and the most speakers. scene: slots that are drawn before anything is said, "name=kind". openings,
    closings, links, asides: what is said around the points; asides hold no facts. gists, headlines, topics: texts for
    summaries. gist_facts: as the facts of a `PointTemplate`. domain_per_point: whether every point has its own domain.
    fillers: the probability that a sentence begins with a filler. lead_templates: the templates of the first point.
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
    """Draw the number of words of a recording: log-normal around the usual one, within the bounds of the register and
    between `low` and `high`.
    """
    shortest, usual, longest = register.words
    words = int(0.8 * usual * rng.lognormvariate(0.0, 0.6))
    return max(low, shortest, min(words, longest, high))


def spoken_facts(specs: tuple[str, ...], slots: dict[str, str], used: set[str], core: bool) -> list[Fact]:
    """Return the facts whose slots were all spoken.

    specs: as the facts of a `PointTemplate`. slots: the values by name. used: the spoken slots. core: whether facts
    that are marked as core count as core.
    """
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
    """The turns of a conversation while it is composed."""

    def __init__(self, state: RecordingState, speakers: int, fillers: float) -> None:
        self.state, self.speakers, self.fillers = state, speakers, fillers
        self.turns: list[tuple[int, list[str]]] = []
        self.speaker = 0
        self.words = 0

    def next_speaker(self) -> None:
        if self.speakers > 1:
            self.speaker = (self.speaker + 1 + int(self.state.rng.random() * (self.speakers - 1))) % self.speakers

    def say(self, text: str) -> None:
        for i, part in enumerate(text.split("//")):
            if i:
                self.next_speaker()
            spoken = self._add_fillers(tidy_text(part))
            if not spoken:
                continue
            self.words += len(spoken.split())
            if self.turns and self.turns[-1][0] == self.speaker:
                self.turns[-1][1].append(spoken)
            else:
                self.turns.append((self.speaker, [spoken]))

    def _add_fillers(self, text: str) -> str:
        state = self.state
        if text and state.happens(self.fillers):
            opener = state.rng.choice(
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
            text = opener + state.lower_first_letter(text)
        if state.happens(self.fillers * 0.8):
            places = [m.start() for m in re.finditer(r"(?<=[a-z]) (?:the|a|to|we|it|is) ", text)]
            if places:
                at = state.rng.choice(places)
                word = text[at:].split()[0]
                text = text[:at] + state.rng.choice(
                    [
                        f", uh,{text[at:]}",
                        f" {word}{',' if state.happens(0.5) else ''}{text[at:]}",
                        f", you know,{text[at:]}",
                        f", um,{text[at:]}",
                    ]
                )
        return text

    def finished_turns(self) -> list[tuple[int, str]]:
        return [(speaker, " ".join(parts)) for speaker, parts in self.turns]


def make_point(
    state: RecordingState, template: PointTemplate, spoken: set[str], *, core: bool
) -> tuple[str, Point] | None:
    """Return the spoken text of a template and its point, or None if the slots of every summary went unsaid.

    spoken: the slots that are known already. core: whether the point may have core facts.
    """
    for _ in range(4):
        local: dict[str, str] = {}
        used: set[str] = set()
        text = state.fill(state.pick(template.say), local, spoken=True, used=used)
        known = used | spoken
        tells = state.tell(template.tell, local, known)
        if not tells:
            continue
        values = {**state.scene, **local}
        action = None
        if template.act and template.act[0] in known and template.act[1] in known:
            who, what, when = template.act
            action = (values[who], values[what], values[when] if when in used else "")
        tells = [tidy_text(t) for t in tells]
        facts = spoken_facts(template.facts, values, known, core)
        # The first wording has the most facts. A fact that it lacks is not core, because no summary would mention it.
        facts = [f if not f.core or is_covered(f, tells[0]) else replace(f, core=False) for f in facts]
        briefs = state.tell(template.brief, local, known) or [
            t.rstrip(".") if not t.endswith(".m.") else t for t in tells
        ]
        return text, Point(
            template.name,
            tells,
            [tidy_text(b) for b in briefs],
            [tidy_text(h) for h in state.tell(template.head, local, known)],
            facts,
            core,
            action,
            template.is_decision,
            {k: values[k] for k in used if k in values},
        )
    return None


def _draw_scene(state: RecordingState, register: Register) -> None:
    for item in register.scene:
        name, _, kind = item.partition("=")
        state.scene[name] = state.draw(kind or name, state.scene)


def compose(register: Register, rng: Random, split: Split, words: int, open_vocabulary: float = 0.0) -> Script:
    """Return a script of about `words` words. open_vocabulary: the probability that it is about made-up things and
    people.
    """
    own = DEV_ONLY + TEST_ONLY  # these domains are allowed in every register of their split
    fitting = [d for d in domains_for(split) if not register.domains or d.name in register.domains or d.name in own]
    state = RecordingState(rng, split, rng.choice(fitting))
    if open_vocabulary and rng.random() < open_vocabulary:
        state.inventor = Inventor(rng, split)
        state.domain = state.inventor.domain()
    speakers = rng.randint(*register.speakers)
    state.cast = [state.first_name() for _ in range(max(2, speakers))]
    state.scene["self"], state.scene["to"] = state.cast[0], state.cast[1]
    _draw_scene(state, register)
    talk = _Talk(state, speakers, register.fillers * rng.choice([0.0, 0.5, 1.0, 1.0, 2.0]))
    used: set[str] = set()
    talk.say(state.fill(state.pick(register.openings), state.scene, used=used))
    if "self" not in used:
        state.scene["self"] = register.unnamed_speaker if speakers == 1 else "one of the speakers"
        used.add("self")
    if "next" in state.scene:
        used.add("next")
    home, opened = state.domain, talk.words
    points: list[Point] = []
    room = max(1, min(14, round(words / (23 if words < 250 else 30 if words < 500 else 50))))
    last = ""
    asides: set[str] = set()
    suited = [m for m in register.point_templates if not m.domains or state.domain.name in m.domains]
    queue = [rng.choice([m for m in register.lead_templates if not m.domains or m in suited])]
    core_left = min(8, 2 + words // 90)
    for _ in range(160):
        if talk.words >= words - 8 and points:
            break
        due = talk.words >= opened + len(points) * (words - opened) / room
        if len(points) < room and (due or state.happens(0.15)):
            options = [
                m
                for m in suited
                if m.name != last and not (m.at_most_once and any(p.template == m.name for p in points))
            ]
            if not (queue or options):
                room = len(points)  # only templates that may be used once were left, and all are used
                continue
            template = queue.pop(0) if queue else rng.choices(options, [m.weight for m in options])[0]
            last = template.name
            if register.domain_per_point and points:
                state.change_domain(register.domains)
            made = make_point(state, template, used, core=core_left > 0)
            if made is None:
                continue
            spoken, point = made
            link = (
                tidy_text(state.fill(state.pick(register.links), {}))
                if points and register.links and state.happens(0.45)
                else ""
            )
            if link and len(link.split()) < 3 and link[-1] == ".":
                spoken = f"{link[:-1]}, {state.lower_first_letter(tidy_text(spoken))}"
            elif link:
                talk.say(link)
            talk.say(spoken)
            points.append(point)
            core_left -= 1
            if speakers > 1 and state.happens(0.5):
                talk.next_speaker()
                if state.happens(0.5):
                    talk.say(state.fill("{@react}", {}))
        elif words - talk.words > 8:
            aside = state.fill(
                state.pick(register.asides),
                {"topic": rng.choice(state.domain.topics), "thing": rng.choice(state.domain.things)},
            )
            ends = {" ".join(aside.split()[:3]), " ".join(aside.split()[-3:])}
            if ends & asides:
                room += state.happens(0.2)  # the aside is not new, so that another point is better
                continue
            asides |= ends
            if speakers > 1:
                talk.next_speaker()
            talk.say(aside)
    state.domain = home
    if register.closings and state.happens(0.85):
        talk.say(state.fill(state.pick(register.closings), state.scene, used=used))
    turns = talk.finished_turns()
    scene = state.scene
    return Script(
        register.name,
        turns,
        points,
        [tidy_text(t) for t in state.tell(register.gists, scene, used)],
        [tidy_text(t) for t in state.tell(register.headlines, scene, used)],
        [tidy_text(t) for t in state.tell(register.topics, scene, used)],
        spoken_facts(register.gist_facts, scene, used, True),
        sorted(state.names),
        state.cast,
    )
