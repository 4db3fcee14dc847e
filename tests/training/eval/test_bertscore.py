from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizerFast

from training.eval.bertscore import BertScore, greedy_match_f1

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "wants", "two", "pumps", "on", "monday", "."]
ALL = torch.tensor([True, True])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of four layers and random weights that knows seven words and takes sixteen tokens."""
    out = tmp_path_factory.mktemp("small-bert")
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=16).save_pretrained(out)
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, initializer_range=1.0, **sizes)
    BertModel(config).save_pretrained(out)
    return out


def test_each_token_is_matched_with_the_nearest() -> None:
    """Precision: 1 and √½, of three; the third is nearest to what lies across. Recall: 1 and √½."""
    reference = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    summary = torch.tensor([[1.0, 0.0], [3.0, 3.0], [0.0, -1.0]])
    precision, recall = (1 + 0.5**0.5 + 0) / 3, (1 + 0.5**0.5) / 2
    found = greedy_match_f1(reference, ALL, summary, torch.tensor([True] * 3))
    assert found == pytest.approx(2 * precision * recall / (precision + recall))
    assert greedy_match_f1(summary, torch.tensor([True] * 3), reference, ALL) == pytest.approx(found)
    assert greedy_match_f1(reference, ALL, reference, ALL) == pytest.approx(1)


def test_marks_are_matched_but_do_not_count() -> None:
    reference, summary = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    first = torch.tensor([True, False])
    precision, recall = 1.0, 1.0
    assert greedy_match_f1(reference, first, summary, first) == pytest.approx(2 * precision * recall / 2)
    recall = 0.5**0.5  # the second of the reference alone counts, and is nearest to the summary's mark
    found = greedy_match_f1(reference, ~first, summary, first)
    assert found == pytest.approx(2 * precision * recall / (precision + recall))


def test_texts_are_compared_by_the_layer_that_is_named_whatever_stands_beside_them(folder: Path) -> None:
    references = ["Anna wants two pumps on Monday.", "Anna.", "two pumps", ""]
    summaries = ["Anna wants pumps.", "Anna.", "", "Anna"]
    bert = BertScore(folder)
    assert bert.layer == 3, "three quarters of four"
    found = bert.f1(references, summaries)
    assert found[0] == pytest.approx(by_hand(folder, references[0], summaries[0], 3), abs=1e-5)
    assert found[1] == pytest.approx(1)
    assert found[2:] == [0.0, 0.0]
    assert 0.1 < found[0] < 0.999
    first = BertScore(folder, 1).f1(references[:1], summaries[:1])[0]
    assert first == pytest.approx(by_hand(folder, references[0], summaries[0], 1), abs=1e-5)
    assert abs(first - found[0]) > 1e-3
    assert not bert.truncated


def by_hand(folder: Path, reference: str, summary: str, layer: int) -> float:
    """One pair, one text at a time, one token at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def vectors(text: str) -> list[torch.Tensor]:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        return [vector / vector.norm() for vector in states[layer][0]]

    def share(of: list[torch.Tensor], among: list[torch.Tensor]) -> float:
        nearest = [max(float(vector @ other) for other in among) for vector in of[1:-1]]
        return sum(nearest) / len(nearest)

    precision, recall = share(vectors(summary), vectors(reference)), share(vectors(reference), vectors(summary))
    return 2 * precision * recall / (precision + recall)


def test_what_is_cut_is_said(folder: Path) -> None:
    bert, long = BertScore(folder), "Anna wants two pumps. " * 5
    (found,) = bert.f1([long], ["Anna wants pumps."])
    assert bert.truncated == {long}
    assert found == pytest.approx(
        by_hand(folder, "Anna wants two pumps. " * 2 + "Anna wants two pumps", "Anna wants pumps.", 3), abs=1e-5
    )


def test_the_figures_name_says_encoder_layer_and_weights(folder: Path, tmp_path: Path) -> None:
    name = BertScore(folder, 2).name
    assert folder.name in name
    assert "layer 2 of 4" in name
    assert name != BertScore(folder, 3).name
    assert name.rsplit(" ", 1)[-1].isalnum()


def test_what_cannot_be_had_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the folder of an encoder"):
        BertScore(tmp_path)
    with pytest.raises(ValueError, match=r"has 4 layers.*cannot be 5"):
        BertScore(folder, 5)
