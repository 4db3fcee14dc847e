"""What one recording says: its turns, its points with their facts, and ways to tell each point. Summaries are
rendered from this.

Knows nothing about styles.
"""

from dataclasses import dataclass, field

from training.facts.coverage import Fact, FactKind


@dataclass(frozen=True)
class PointTemplate:
    """One kind of thing that can be said, in many wordings. All texts are templates.

    say: as spoken; "//" changes to another speaker. tell: a sentence of a summary. brief: a bullet. head: a headline.
    facts: "kind:slot" or "kind:slot+slot" (a conjunction), with "!" where the fact is core. A tell is used only if
    all of its slots were spoken, so a summary cannot say more than the recording.
    act: (who, what, when) slots of the action it holds, when may be "". weight: how often, against the others of a
    register.
    domains: the only ones it suits, where that is so. once: at most once in a recording.
    """

    name: str
    say: tuple[str, ...]
    tell: tuple[str, ...]
    facts: tuple[str, ...]
    brief: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    act: tuple[str, str, str] | None = None
    is_decision: bool = False
    weight: float = 1.0
    domains: tuple[str, ...] = ()
    at_most_once: bool = False


@dataclass
class Point:
    """A matter as it was said in this recording: `tells`, `briefs` and `heads` are alternatives."""

    template: str
    tells: list[str]
    briefs: list[str]
    heads: list[str]
    facts: list[Fact]
    core: bool
    action: tuple[str, str, str] | None = None
    is_decision: bool = False
    slots: dict[str, str] = field(default_factory=dict)

    def has_fact(self, *kinds: FactKind) -> bool:
        return any(f.kind in kinds for f in self.facts)


@dataclass
class Script:
    """turns: (speaker, text). gists: opening sentences of a summary. heads: headlines for the whole. topic: what it is
    about."""

    register: str
    turns: list[tuple[int, str]]
    points: list[Point]
    gists: list[str]
    heads: list[str]
    topics: list[str]
    gist_facts: list[Fact]
    names: list[str]
    cast: list[str]

    @property
    def facts(self) -> list[Fact]:
        unique: dict[tuple[str, str], Fact] = {}
        for fact in self.gist_facts + [f for p in self.points for f in p.facts]:
            held = unique.get((fact.kind, fact.text))
            if held is None or fact.core:
                unique[(fact.kind, fact.text)] = fact
        return list(unique.values())
