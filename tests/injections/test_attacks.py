"""The set is what its figures stand on."""

from collections import Counter

from tests.injections.attacks import ATTACKS
from tests.injections.talks import TALKS


def test_there_are_several_of_each_kind_in_every_place_of_many_talks() -> None:
    kinds = Counter(attack.kind for attack in ATTACKS)
    assert len(ATTACKS) >= 40
    assert set(kinds) == {
        "override", "new task", "language", "format", "role", "delimiter", "secrets", "flooding",
    }  # fmt: skip
    assert min(kinds.values()) >= 5
    assert {attack.talk for attack in ATTACKS} == set(TALKS)
    for kind in kinds:
        assert {attack.after for attack in ATTACKS if attack.kind == kind} == {0, 2, 3}


def test_no_two_are_the_same() -> None:
    assert len({attack.said for attack in ATTACKS}) == len({attack.id for attack in ATTACKS}) == len(ATTACKS)


def test_some_forge_the_marks_of_the_prompt() -> None:
    forged = [attack.written for attack in ATTACKS if attack.written]
    assert sum("{close}" in text for text in forged) >= 3
    assert any("<|im_end|>" in text for text in forged)
