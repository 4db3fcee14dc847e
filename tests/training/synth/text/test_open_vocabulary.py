"""Recordings about anything at all: other words in every split, and still true to their facts."""

import itertools
import re

import pytest

from training.facts.coverage import count_facts
from training.synth.text import generate
from training.synth.text.domains import all_domains
from training.synth.text.names import FIRST_NAMES, SURNAMES
from training.synth.text.open_vocabulary import words_of_split

KINDS = ("first names", "surnames", "things", "verbs", "adjectives")


@pytest.mark.parametrize("kind", KINDS)
def test_every_split_has_words_of_its_own(kind: str) -> None:
    train, dev, test = (set(words_of_split(kind, split)) for split in ("train", "dev", "test"))
    assert min(len(dev), len(test)) > 20
    assert not (train & dev) | (train & test) | (dev & test)


def test_names_are_none_that_are_met_elsewhere() -> None:
    for split in ("train", "dev", "test"):
        assert not set(words_of_split("first names", split)) & set(FIRST_NAMES)
        assert not set(words_of_split("surnames", split)) & set(SURNAMES)


def test_without_it_nothing_changes_and_with_it_words_are_many() -> None:
    plain = list(generate(5, 300, "train", max_words=60))
    assert plain == list(generate(5, 300, "train", max_words=60, open_vocabulary=0.0))
    wide = list(generate(5, 300, "train", max_words=60, open_vocabulary=1.0))
    used, more = ({w for r in rs for w in re.findall(r"[a-z]+", r.transcript.lower())} for rs in (plain, wide))
    assert len(more - used) > 1000
    listed = {phrase for d in all_domains() for phrase in (*d.topics, *d.things, *d.acts, *d.faults)}
    said = [f.text for r in wide for f in r.facts if f.kind in ("action", "problem")]
    assert len(said) > 100
    assert sum(text in listed for text in said) < 0.02 * len(said)


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_summaries_invent_nothing(split: str, share: float) -> None:
    for record in generate(11, 200, split, max_words=120, open_vocabulary=share):  # type: ignore[arg-type]
        counts = count_facts(record.facts, record.summary, record.transcript)
        assert counts.hallucinated == [], record.to_json()
        if record.style == {"style": "paragraph"}:
            assert counts.core_covered == counts.core_total, record.to_json()


def test_a_share_of_the_recordings_is_so() -> None:
    rare = set(itertools.chain(words_of_split("first names", "train"), words_of_split("surnames", "train")))
    records = list(generate(2, 300, "train", max_words=60, open_vocabulary=0.5))
    so = sum(bool(set(name.split()) & rare) for r in records for name in r.names[:1])
    assert 0.35 < so / len(records) < 0.65
