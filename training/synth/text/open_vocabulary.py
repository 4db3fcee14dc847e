"""Made-up domains: phrases that are combined from thousands of words, and people with rare names.

The domains of `domains_*.txt` have about 1,600 phrases, and there are 400 first names. A model that hears only these
learns to choose among them, and not to write a word that it has never met. Here the phrases are new in each recording.
Every split has its own words, as it has its own names. The words are in `open_words.txt` beside this module. Knows
nothing about sentences.
"""

from functools import lru_cache
from pathlib import Path
from random import Random

from training.data.record import Split
from training.synth.text.domains import Domain
from training.synth.text.names import split_of_name
from training.synth.text.slot_phrases import split_phrases

PHRASES_PER_KIND = 8  # in a domain

_FAULTS = split_phrases(
    "broke down; went missing; was stolen; came too late; fell over; got stuck; caught fire; was the wrong size; "
    "leaked; would not open; was never paid for; froze overnight; came apart; was left outside; was sent back; "
    "stopped working"
)
_REASONS = split_phrases(
    "is too {adjective}; costs too much; has not come yet; is being cleaned; was promised to someone else; "
    "needs a new {thing}; is nowhere to be found; does not fit the {thing}; has to be ready first"
)
_METRICS = split_phrases(
    "the {thing} rate; the price of the {thing}; the {thing} budget; the {thing} score; the weight of the {thing}"
)
_PEOPLE = split_phrases(
    "buyer; driver; fitter; inspector; keeper; maker; manager; cleaner; seller; teacher; guard; owner; clerk; expert; "
    "helper"
)
_PLACES = split_phrases("room; yard; hall; shed; office; store; corner; cellar; wing; deck")


@lru_cache(maxsize=16)
def words_of_split(kind: str, split: Split) -> tuple[str, ...]:
    """Return the split's words of a kind: "first names", "surnames", "things", "verbs" or "adjectives"."""
    text = (Path(__file__).parent / "open_words.txt").read_text(encoding="utf-8")
    _, _, rest = text.partition(f"[{kind}]\n")
    return tuple(word for word in rest.partition("\n\n")[0].split() if split_of_name(word) == split)


class Inventor:
    """Makes phrases from the words of a split. Every choice comes from `rng`."""

    def __init__(self, rng: Random, split: Split) -> None:
        self.rng, self.split = rng, split

    def _word(self, kind: str) -> str:
        return self.rng.choice(words_of_split(kind, self.split))

    def _noun(self) -> str:
        shape = self.rng.random()
        if shape < 0.3:
            return self._word("things")
        return f"{self._word('adjectives' if shape < 0.5 else 'things')} {self._word('things')}"

    def _act(self) -> str:
        return f"{self._word('verbs')} the {self._noun()}"

    def _fill_template(self, templates: tuple[str, ...]) -> str:
        return self.rng.choice(templates).format(thing=self._word("things"), adjective=self._word("adjectives"))

    def domain(self) -> Domain:
        """Return a made-up domain."""
        often = range(PHRASES_PER_KIND)
        return Domain(
            name="invented",
            topics=tuple(f"the {self._noun()}" for _ in often),
            things=tuple(f"the {self._noun()}" for _ in often),
            acts=tuple(self._act() for _ in often),
            faults=tuple(f"the {self._noun()} {self.rng.choice(_FAULTS)}" for _ in often),
            reasons=tuple(f"the {self._word('things')} {self._fill_template(_REASONS)}" for _ in often),
            choices=tuple((self._act(), self._act()) for _ in often),
            metrics=tuple(self._fill_template(_METRICS) for _ in often),
            roles=tuple(f"the {self._word('things')} {self.rng.choice(_PEOPLE)}" for _ in often),
            places=tuple(f"the {self._word('things')} {self.rng.choice(_PLACES)}" for _ in often),
        )

    def slot_phrase(self, kind: str) -> str:
        """Return a made-up phrase for a slot of `OPEN_SLOTS`, whose phrases otherwise come from `slot_phrases`."""
        noun = self._noun()
        return f"a {noun}" if kind in ("good", "defect") else noun


OPEN_SLOTS = ("good", "defect", "event", "device")  # the slots that `Inventor.slot_phrase` makes phrases for
