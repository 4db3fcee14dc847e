import pytest

from training.models.recovery_labels import recovery_labels


def follows(written: str, summary: str) -> list[str | None]:
    """Words for tokens, and an end of turn."""
    wrote, says = [*written.split(), "<end>"], [*summary.split(), "<end>"]
    ids = {word: number for number, word in enumerate(dict.fromkeys([*wrote, *says]))}
    words = {number: word for word, number in ids.items()}
    return [
        None if label is None else words[label]
        for label in recovery_labels([ids[w] for w in wrote], [ids[w] for w in says])
    ]


def test_after_the_summary_itself_comes_the_summary() -> None:
    assert follows("Call Tom on Monday .", "Call Tom on Monday .") == ["Call", "Tom", "on", "Monday", ".", "<end>"]


@pytest.mark.parametrize(
    ("written", "summary", "wanted"),
    [
        # a wrong name: the right one was due; after it nothing, until both say "on" again
        ("Call Theo on Friday .", "Call Tom on Monday .", ["Call", "Tom", None, "Monday", None, "<end>"]),
        # an end too soon: there is more to say
        ("Call Tom .", "Call Tom . Bring cake .", ["Call", "Tom", ".", "Bring"]),
        # what the summary does not say is no place to go on from
        ("Call Tom now please .", "Call Tom .", ["Call", "Tom", ".", None, None, "<end>"]),
        # where it went on after the summary's end
        ("Call Tom . Yes .", "Call Tom .", ["Call", "Tom", ".", None, None, "<end>"]),
        # left out, and not made up for
        ("Bring cake .", "Call Tom . Bring cake .", ["Call", None, None, "<end>"]),
        # in another order: what has been said is not asked for again
        ("Bring it . Call Tom .", "Call Tom . Bring it .", ["Call", None, None, None, "Tom", ".", None]),
    ],
)
def test_elsewhere_it_is_entered_where_the_two_agree(written: str, summary: str, wanted: list[str | None]) -> None:
    assert follows(written, summary) == wanted


def test_where_two_places_are_as_near_only_the_written_word_counts() -> None:
    assert follows("a b e", "a b c a b d") == ["a", "b", "c", None]
    assert follows("a c", "a b a c") == ["a", "b", None]


def test_nothing_in_common() -> None:
    assert follows("x y", "a b") == ["a", None, None]
