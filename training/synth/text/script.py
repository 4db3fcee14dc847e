"""What one recording says: its turns, its points with their facts, and the wordings of each point for summaries.

Knows nothing about styles.
"""

from dataclasses import dataclass, field

from training.facts.coverage import Fact, FactKind


@dataclass(frozen=True)
class PointTemplate:
    """One kind of thing that can be said, in many wordings. All texts are templates (`template_language`).

    say: the spoken texts; "//" changes to another speaker. tell: sentences of a summary. brief: bullets. head:
    headlines. A text for summaries is used only if all of its slots were spoken, so that a summary says no more than
    the recording. facts: "kind:slot" or "kind:slot+slot" (a conjunction), with "!" if the fact is core. act: the slots
    (who, what, when) of the action that it holds; `when` may be "". weight: how often it is drawn, relative to the
    others of a register. domains: the only domains that it suits; none means all. at_most_once: whether a recording has
    it once at most.
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
    """A point as it was said in this recording. `tells`, `briefs` and `heads` each hold alternatives for a summary."""

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
        """Return whether the point has a fact of one of these kinds."""
        return any(f.kind in kinds for f in self.facts)


@dataclass
class Script:
    """What one recording says.

    turns: (speaker's number, text). gists: alternatives for the opening sentence of a summary. heads: headlines of the
    whole recording. topics: alternatives for what it is about. cast: first names of its people.
    """

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
        """All facts of the recording, each once; core if it is core anywhere."""
        unique: dict[tuple[str, str], Fact] = {}
        for fact in self.gist_facts + [f for p in self.points for f in p.facts]:
            held = unique.get((fact.kind, fact.text))
            if held is None or fact.core:
                unique[(fact.kind, fact.text)] = fact
        return list(unique.values())
