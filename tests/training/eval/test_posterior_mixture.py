import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.tiny_checkpoints import noise, record, write_llama
from training.__main__ import main
from training.eval import posterior_mixture
from training.eval.posterior_mixture import WAYS, MixtureReader, mixture_figures
from training.eval.token_posteriors import TokenPosterior

SAID = "Please call Anna back."


def posterior(*shares: tuple[int, float]) -> TokenPosterior:
    tokens, probabilities = zip(*shares, strict=True)
    return TokenPosterior(tokens[0], np.array(tokens, np.int32), np.array(probabilities, np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("posterior") / "text")


@pytest.fixture(scope="module")
def reader(folder: Path) -> MixtureReader:
    """A reader whose recognizer has the tokens of its language model."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return MixtureReader(AutoModelForCausalLM.from_pretrained(folder).eval(), tokenizer, tokenizer.backend_tokenizer)


def token_ids(reader: MixtureReader, text: str) -> list[int]:
    return list(reader.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_of_a_recognizer_that_is_sure_all_ways_read_the_same(reader: MixtureReader) -> None:
    posteriors = [posterior((token, 1.0), (5, 0.0)) for token in token_ids(reader, SAID)]
    answer = token_ids(reader, "Call Anna.")
    text = reader.embed_text(SAID)
    losses = [
        reader.loss("Summarize.", rows, answer)
        for rows in (text, *(reader.embed_posteriors(posteriors, mix) for mix in (False, True)))
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    assert reader.loss("Summarize.", reader.embed_text("Nobody spoke."), answer) != pytest.approx(losses[0], rel=1e-3)


def test_the_loss_is_that_of_the_prompt_as_tokens(reader: MixtureReader) -> None:
    answer = token_ids(reader, "Call Anna.")
    prompt = reader.tokenizer.apply_chat_template(
        posterior_mixture.transcript_messages("Summarize.", SAID), add_generation_prompt=True, tokenize=False
    )
    before, after = prompt.split(SAID)
    ids = [token for part in (before, SAID, after) for token in token_ids(reader, part)] + answer
    labels = torch.tensor([[-100] * (len(ids) - len(answer)) + answer])
    expected = reader.model(input_ids=torch.tensor([ids]), labels=labels).loss.item() * len(answer)
    assert reader.loss("Summarize.", reader.embed_text(SAID), answer) == pytest.approx(expected, rel=1e-4)


def test_a_mixture_is_the_mean_of_its_candidates_by_their_probability(reader: MixtureReader) -> None:
    one, other = (reader.embed_posteriors([posterior((token, 0.5))], mix=False)[0] for token in (100, 200))
    mixed = reader.embed_posteriors([posterior((100, 0.6), (200, 0.2))], mix=True)[0]
    assert torch.allclose(mixed, 0.75 * one + 0.25 * other, atol=1e-6)


def test_figures_are_nats_a_token_over_all_tokens() -> None:
    rows = [
        {"id": "a", "tokens": 10, "true": 5.0, "text": 10.0, "first": 12.0, "mixture": 11.0},
        {"id": "b", "tokens": 30, "true": 15.0, "text": 20.0, "first": 24.0, "mixture": 19.0},
    ]
    figures = mixture_figures(rows)
    assert (figures["recordings"], figures["tokens"]) == (2, 40)
    assert [figures[way] for way in WAYS] == [0.5, 0.75, 0.9, 0.75]
    assert figures["mixture - first"] == pytest.approx(-0.15)
    assert figures["text - true"] == pytest.approx(0.25)


def test_the_command_measures_what_was_heard_and_leaves_out_silence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)

    class Ear:
        def __init__(self, whisper: Path) -> None:
            assert whisper == tmp_path
            self.tokenizer = tokenizer.backend_tokenizer

        def read(self, samples: Any, language: str) -> list[TokenPosterior]:
            assert (len(samples), language) == (16_000, "en")
            return [posterior((token, 0.9), (7, 0.1)) for token in tokenizer(SAID)["input_ids"]]

    monkeypatch.setattr(posterior_mixture, "PosteriorReader", Ear)
    rows = [
        record(1, tmp_path, noise(1.0), transcript=SAID),
        record(2, tmp_path, noise(1.0), transcript="", no_speech=True),
    ]
    (tmp_path / "records.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
    out = tmp_path / "out.json"
    command = ["posterior-mixture", "--model", folder, "--records", tmp_path / "records.jsonl"]
    assert main([*map(str, command), "--whisper", str(tmp_path), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert [row["id"] for row in result["rows"]] == ["clip-1"]
    assert result["rows"][0]["text"] == result["rows"][0]["true"], "the recognizer was right"
    assert result["rows"][0]["mixture"] != result["rows"][0]["first"]
