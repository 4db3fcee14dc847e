"""Terms are taken from the decoding with the vocabulary; nothing else of it is."""

import pytest

from app.core.asr.transcript import TranscriptSegment
from app.core.asr.vocabulary import MAX_PROMPT_TOKENS, correct_terms, fit_terms, prompt_text

TERMS = ("Aoife Ní Bhraonáin", "Kubernetes", "Siobhán", "Xanthippe")


def segments(*texts: str) -> list[TranscriptSegment]:
    return [TranscriptSegment(5 * n, 5 * n + 5, text, -0.3, 1.2, 0.05) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("plain", "prompted", "corrected"),
    [
        ("We use cube and eighties today.", "We use Kubernetes today.", "We use Kubernetes today."),
        ("Ask Chevron about it.", "Ask Siobhán about it.", "Ask Siobhán about it."),
        ("Zan tippy's car is red.", "Xanthippe's car is red.", "Xanthippe's car is red."),
        ("and Eva Nee Brennan said", "and Aoife Ní Bhraonáin said", "and Aoife Ní Bhraonáin said"),
        ("Ask siobhan, please.", "Ask Siobhán, please.", "Ask Siobhán, please."),
        # Whatever else is written differently with the vocabulary stays as it was.
        ("She pays 40 euros to Chevron now.", "He pays 14 euros to Siobhán now.", "She pays 40 euros to Siobhán now."),
    ],
)
def test_a_term_replaces_what_was_written_in_its_place(plain: str, prompted: str, corrected: str) -> None:
    (one,) = correct_terms(segments(plain), prompted, TERMS)
    assert one.text == corrected


@pytest.mark.parametrize(
    ("what", "plain", "prompted"),
    [
        ("no term is in it", "The meeting is over.", "The greeting was over."),
        ("a term is added", "The meeting is over.", "The meeting is over. Siobhán."),
        ("a term is added inside", "The meeting is over.", "The Siobhán meeting is over."),
        ("a term replaces a whole text, as in noise", "Thank you.", "Kubernetes."),
        ("a long term replaces a short word", "He is in it now.", "He is Xanthippe it now."),
        ("a short term replaces a long passage", "We talked for an awfully long time.", "We Siobhán time."),
        ("the prompt itself is written", "We thank everyone for it.", "We Kubernetes, Siobhán for it."),
        ("a term goes round in circles", "So you can see everyone now.", "So Siobhán Siobhán Siobhán now."),
        ("nothing is written", "The meeting is over.", ""),
    ],
)
def test_nothing_else_changes_a_transcript(what: str, plain: str, prompted: str) -> None:
    before = segments(plain)
    assert correct_terms(before, prompted, TERMS) == tuple(before), what


def test_times_and_figures_stay_and_a_term_may_cross_a_boundary() -> None:
    before = segments("We run cube", "and eighties on it.", "Bye.")
    after = correct_terms(before, "We run Kubernetes on it. Bye.", TERMS)
    assert [(one.start, one.end, one.text) for one in after] == [
        (0, 5, "We run Kubernetes"),
        (5, 10, "on it."),
        (10, 15, "Bye."),
    ]
    assert {one.log_probability for one in after} == {-0.3}


def test_a_recording_in_which_nothing_was_heard_stays_empty() -> None:
    assert correct_terms([], prompt_text(TERMS), TERMS) == ()


def test_only_as_many_terms_are_given_as_the_prompt_takes() -> None:
    terms = [f"Name{number}" for number in range(100)]
    fitting = fit_terms(terms, lambda text: 3 * len(text.split()))
    assert fitting == terms[: MAX_PROMPT_TOKENS // 3]
    assert fit_terms(TERMS, lambda text: len(text.split())) == list(TERMS)
    assert fit_terms((), lambda text: 10**6) == []
