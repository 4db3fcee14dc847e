"""Domains: the subjects of recordings, each with phrases for every slot of nouns and verbs.

The phrases are in `domains_*.txt` beside this module; a domain is a block of lines `field: a; b; c`. Two domains occur
only in the dev split, and four only in test. Knows nothing about sentences.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from training.data.record import Split


@dataclass(frozen=True)
class Domain:
    """The phrases of one domain.

    topics: subjects ("about the roof"). things: singular nouns with an article. acts: verb phrases in the base form.
    faults: clauses in the past tense. reasons: clauses that follow "because". choices: pairs of verb phrases in the
    base form, of which either may be chosen. metrics: singular noun phrases. roles: people without a name. places:
    rooms and sites with an article.
    """

    name: str
    topics: tuple[str, ...]
    things: tuple[str, ...]
    acts: tuple[str, ...]
    faults: tuple[str, ...]
    reasons: tuple[str, ...]
    choices: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    roles: tuple[str, ...]
    places: tuple[str, ...]


DEV_ONLY = ("library", "brewery")
TEST_ONLY = ("museum", "fishing", "vet", "airport")


@lru_cache(maxsize=1)
def all_domains() -> tuple[Domain, ...]:
    """Return every domain of the data files. Raises ValueError if a block lacks a field."""
    out = []
    for path in sorted(Path(__file__).parent.glob("domains_*.txt")):
        for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
            name, *lines = block.strip().splitlines()
            fields = {
                k.strip(): [p.strip() for p in v.split(";") if p.strip()]
                for k, _, v in (line.partition(":") for line in lines)
            }
            try:
                pairs = tuple((a.strip(), b.strip()) for a, b in (c.split(">") for c in fields.pop("choices")))
                out.append(Domain(name=name.strip("# "), choices=pairs, **{k: tuple(v) for k, v in fields.items()}))
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"{path.name}: domain {name!r}: {error}") from error
    return tuple(out)


@lru_cache(maxsize=4)
def domains_for(split: Split) -> tuple[Domain, ...]:
    """Return the domains of a split: the common ones, and its own, which are repeated to be drawn more often."""
    own = {"train": (), "dev": DEV_ONLY, "test": TEST_ONLY}[split]
    common = [d for d in all_domains() if d.name not in DEV_ONLY + TEST_ONLY]
    return tuple(common + [d for d in all_domains() if d.name in own for _ in range(6)])
