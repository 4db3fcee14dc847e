import importlib

import pytest

from training.synth import text


@pytest.mark.parametrize(
    ("old", "new"),
    [("generate", "generate"), ("make", "make_record"), ("noisy", "mishear_record"), ("asr_noise", "add_asr_noise")],
)
def test_the_old_import_still_works_and_warns(old: str, new: str) -> None:
    corpus = importlib.import_module("training.corpus")
    with pytest.warns(DeprecationWarning, match=rf"import training\.synth\.text\.{new}"):
        assert getattr(corpus, old) is getattr(text, new)


def test_an_unknown_name_is_an_error() -> None:
    corpus = importlib.import_module("training.corpus")
    with pytest.raises(AttributeError, match="nothing"):
        _ = corpus.nothing
