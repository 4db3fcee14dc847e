from pathlib import Path

import pytest

from tests.training.tiny_checkpoints import record
from training.eval.rouge import rouge, rouge_agreement


def test_words_pairs_and_runs_are_counted_by_their_stems(tmp_path: Path) -> None:
    """anna want two pump on monday / anna want pump on friday: 4 of 6 and of 5 words, 2 of 5 and of 4 pairs, a run of
    4.
    """
    row = record(1, tmp_path, summary="Anna wants two pumps on Monday.")
    found = rouge(row, "Anna wanted a pump on Friday.".replace(" a ", " "))
    four = 2 * (4 / 6) * (4 / 5) / (4 / 6 + 4 / 5)
    two = 2 * (2 / 5) * (2 / 4) / (2 / 5 + 2 / 4)
    assert found == {"rouge1": round(four, 4), "rouge2": round(two, 4), "rougeL": round(four, 4)}
    turned = rouge(row, "On Friday pumps wanted Anna.")
    assert (turned["rouge1"], turned["rouge2"]) == (found["rouge1"], 0.0)
    assert turned["rougeL"] < found["rougeL"], "the order counts"


@pytest.mark.parametrize(("text", "expected"), [("Anna called.", 1.0), ("anna CALLED", 1.0), ("Nobody.", 0.0), ("", 0)])
def test_all_and_nothing(tmp_path: Path, text: str, expected: float) -> None:
    assert rouge(record(1, tmp_path), text)["rougeL"] == expected


def test_other_languages_keep_their_letters(tmp_path: Path) -> None:
    row = record(1, tmp_path, summary="Größe über alles", language="de-CH")
    assert rouge(row, "Größe über")["rouge1"] == round(2 * (2 / 3) / (2 / 3 + 1), 4)
    assert rouge(row, "Gro e")["rouge1"] == 0
    russian = record(1, tmp_path, summary="Анна звонила", language="ru")
    assert rouge(russian, "Анна")["rouge1"] == round(2 * 0.5 / 1.5, 4)


def test_without_a_summary_of_its_own_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert rouge(record(1, tmp_path, summary=" "), "Anna called.") == {}


def test_answers_agree_by_what_they_share() -> None:
    same, alike, other = rouge_agreement(["The fee is ten euros.", "Ten euros is the fee.", "A boat sank."])
    assert same == alike == pytest.approx(0.5)
    assert other == 0
    assert rouge_agreement(["alone"]) == [0.0]
    assert rouge_agreement([]) == []


def test_answers_in_other_languages_agree_by_their_own_letters() -> None:
    assert rouge_agreement(["Цена десять", "цена Десять"], "ru") == [1.0, 1.0]
