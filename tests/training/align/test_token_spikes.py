from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.align.character_ctc import ALPHABET, character_classes, forced_alignments
from training.align.token_spikes import (
    Aligner,
    class_token_ids,
    ctc_collapse,
    letter_classes,
    letter_token_ids,
    spoken_words,
    token_spikes,
)


def test_words_are_said_without_signs_and_capitals_stay_where_they_can_be_known() -> None:
    assert spoken_words(
        [
            "The pump failed. Anna called the plant: it was shut.",
            "Call me! It's $4,000, I'm told. I will call Anna; please don\u2019t.",
            "Will it rain on Monday? Zebras will run.",
            "At 10 a.m. we met.",
        ]
    ) == [
        "the pump failed Anna called the plant it was shut",
        "call me it's four thousand dollars I'm told I will call Anna please don't",
        "will it rain on Monday Zebras will run",
        "At ten A M we met",
    ]


def test_the_blank_is_first_and_frequent_tokens_follow(tokenizer: Any) -> None:
    found = class_token_ids(tokenizer, ["call call house", "call house pump"], 3)
    assert tokenizer.convert_ids_to_tokens(found) == ["Ġ", "Ġcall", "Ġhouse"]
    assert len(class_token_ids(tokenizer, ["one two three four"], 2)) == 2


def test_rare_words_are_no_classes_where_they_are_spelled(tokenizer: Any) -> None:
    texts = ["call Anna", "call the house", "call the house"]
    names = tokenizer.convert_ids_to_tokens(class_token_ids(tokenizer, texts, 100, spell_below=2))
    assert {"Ġcall", "Ġhouse", "Ġthe"} < set(names)
    assert "ĠAnna" not in names
    assert names[0] == "Ġ"
    assert {"Ġa", "a", "Ġz", "z", "'"} < set(names)
    assert len(names) == len(set(names)) == 1 + len(letter_token_ids(tokenizer)) + 3


def scores_of(text: str, at: list[int], count: int) -> NDArray[np.float32]:
    """Log-probabilities of a head that hears each sign of a text at the frame given, and nothing in the others."""
    scores = np.full((count, len(ALPHABET) + 1), -9.0, np.float32)
    scores[:, 0] = -0.1
    for frame, sign in zip(at, character_classes(text)[0], strict=True):
        scores[frame, 0], scores[frame, sign] = -9.0, -0.1
    return scores


def found_in(
    scores: NDArray[np.float32], text: str, tokenizer: Any, number: dict[int, int], *single: dict[str, int]
) -> list[tuple[int, int]] | None:
    """The spikes of a text where the scores say its letters; None if either does not fit."""
    frames = forced_alignments(torch.from_numpy(scores)[None], [len(scores)], [letter_classes(text)[0]])[0]
    return None if frames is None else token_spikes(text, frames, len(scores) // 2, tokenizer, number, *single)


def class_numbers(tokenizer: Any, *tokens: str) -> dict[int, int]:
    return {tokenizer.convert_tokens_to_ids(token): i for i, token in enumerate(tokens, 1)}


def test_a_token_is_said_where_its_last_letter_is(tokenizer: Any) -> None:
    text = "Please call Anna"
    at = [3 * i + 2 for i in range(len(text))]
    number = class_numbers(tokenizer, "ĠAnna", "Ġcall", "ĠPlease")
    found = found_in(scores_of(text, at, 60), text, tokenizer, number)
    # e, l and a are the 6th, 11th and 16th sign; 50 frames a second become 25.
    assert found == [(at[5] // 2, 3), (at[10] // 2, 2), (at[15] // 2, 1)]


def test_a_word_of_several_tokens_has_a_spike_for_each(tokenizer: Any) -> None:
    text = "zymurgy's off"
    encoded = tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    assert len(encoded) >= 4
    number = {token: i for i, token in enumerate(encoded, 1)}
    found = found_in(scores_of(text, [4 * i for i in range(len(text))], 60), text, tokenizer, number)
    assert found is not None
    assert [token for _, token in found] == [number[token] for token in encoded]
    ends = np.cumsum([len(t) for t in tokenizer.convert_ids_to_tokens(encoded)]) - 2  # " " is before the text
    assert [frame for frame, _ in found] == [2 * int(end) for end in ends]


def test_unknown_tokens_are_left_out(tokenizer: Any) -> None:
    text = "Please call Anna"
    scores = scores_of(text, [3 * i for i in range(len(text))], 60)
    found = found_in(scores, text, tokenizer, class_numbers(tokenizer, "ĠPlease", "ĠAnna"))
    assert found == [(15 // 2, 1), (45 // 2, 2)]
    assert found_in(scores, text, tokenizer, class_numbers(tokenizer, "Ġpump")) is None


def test_a_word_with_unknown_tokens_is_spelled(tokenizer: Any) -> None:
    text = "call O'Hara off"
    at = [3 * i for i in range(len(text))]
    single = letter_token_ids(tokenizer)
    number = class_numbers(tokenizer, "Ġcall", "Ġoff", *tokenizer.convert_ids_to_tokens(list(single.values())))
    found = found_in(scores_of(text, at, 60), text, tokenizer, number, single)
    assert found is not None
    by_number = {place: token for token, place in number.items()}
    said = tokenizer.convert_ids_to_tokens([by_number[token] for _, token in found])
    assert said == ["Ġcall", "Ġo", "'", "h", "a", "r", "a", "Ġoff"]
    assert [frame for frame, _ in found] == [at[i] // 2 for i in (3, 5, 6, 7, 8, 9, 10, 14)]


def test_tokens_said_at_once_take_a_frame_each(tokenizer: Any) -> None:
    text = "zqxj on"
    tokens = tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    assert len(tokens) == 5
    number = {token: i for i, token in enumerate(tokens, 1)}
    found = found_in(scores_of(text, list(range(7)), 20), text, tokenizer, number)
    assert found == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    # Letters in the frames 0 to 6 of 7 would do for the head, but there are only three pairs of frames.
    assert found_in(scores_of(text, list(range(7)), 7), text, tokenizer, number) is None


def test_a_text_too_long_for_the_clip_has_no_spikes(tokenizer: Any) -> None:
    number = class_numbers(tokenizer, "Ġcall", "ĠAnna")
    assert found_in(np.zeros((8, 29), np.float32), "call Anna", tokenizer, number) is None
    assert found_in(np.zeros((8, 29), np.float32), "24", tokenizer, number) is None


def test_a_last_letter_in_an_odd_last_frame_belongs_to_the_last_pair(tokenizer: Any) -> None:
    scores = scores_of("call Anna", [0, 3, 6, 9, 12, 15, 18, 21, 24], 25)
    assert found_in(scores, "call Anna", tokenizer, class_numbers(tokenizer, "Ġcall", "ĠAnna")) == [(4, 1), (11, 2)]


class Frames(nn.Module):
    """In an encoder's place: what is put in comes out."""

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return hidden, lengths


@pytest.fixture
def aligner() -> Aligner:
    embeddings = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    return Aligner(Frames(), embeddings)  # type: ignore[arg-type]


@pytest.fixture
def frames() -> Tensor:
    return torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(0))


def test_scores_are_the_softmax_of_distances(aligner: Aligner, frames: Tensor) -> None:
    squares = (frames[:, :, None] - aligner.embeddings[None, None]).square().sum(-1)
    found = aligner.log_probabilities(frames)
    torch.testing.assert_close(found, (-squares / 2).log_softmax(-1), atol=1e-4, rtol=1e-4)
    assert found.shape == (2, 9, 6)
    aligner.sharpness = 3.0
    torch.testing.assert_close(
        aligner.log_probabilities(frames), (-3 * squares / 2).log_softmax(-1), atol=1e-3, rtol=1e-4
    )
    # A frame that is a token's embedding is that token.
    assert aligner.log_probabilities(aligner.embeddings[None]).argmax(-1)[0].tolist() == list(range(6))


def test_the_loss_is_the_mean_over_spikes_and_silent_frames(aligner: Aligner, frames: Tensor) -> None:
    lengths, where = torch.tensor([9, 4]), [[(0, 3), (5, 1)], [(2, 5)]]
    scores = aligner.log_probabilities(frames)
    said = [scores[0, 0, 3], scores[0, 5, 1], scores[1, 2, 5]]
    silent = [scores[0, i, 0] for i in (1, 2, 3, 4, 6, 7, 8)] + [scores[1, i, 0] for i in (0, 1, 3)]
    torch.testing.assert_close(aligner(frames, lengths, where, 0.0), -torch.stack(said).mean())
    # More blanks than there are silent frames: each of them, and none beyond a clip's end.
    torch.testing.assert_close(aligner(frames, lengths, where, 9.0), -torch.stack(said + silent).mean())
    # As many as there are spikes: two drawn from the first clip's and one from the second's.
    found = {round(float(aligner(frames, lengths, where, 1.0)), 5) for _ in range(20)}
    possible = {
        round(-float(torch.stack([*said, silent[a], silent[b], silent[c]]).mean()), 5)
        for a in range(7)
        for b in range(a)
        for c in (7, 8, 9)
    }
    assert len(found) > 1
    assert all(min(abs(f - p) for p in possible) < 2e-5 for f in found)


def test_the_pull_is_the_squared_distance_to_the_right_embedding(aligner: Aligner, frames: Tensor) -> None:
    lengths, where = torch.tensor([9, 4]), [[(0, 3), (5, 1)], [(2, 5)]]
    right = aligner.embeddings[torch.tensor([3, 1, 5])]
    away = torch.stack([frames[0, 0], frames[0, 5], frames[1, 2]]) - right
    without, with_ = (aligner(frames, lengths, where, 0.0, pull) for pull in (0.0, 2.0))
    torch.testing.assert_close(with_ - without, 2 * away.square().sum(-1).mean())
    # Ten times as long frames are as right to the cross-entropy's eye or more so; the distance tells.
    torch.testing.assert_close(
        aligner.distances(frames, where), away.norm(dim=-1) / aligner.embeddings.norm(dim=-1).mean()
    )


def test_the_best_class_of_each_frame_ends_with_the_clip(aligner: Aligner) -> None:
    path = [0, 3, 3, 0, 3, 5, 5, 2]
    frames = aligner.embeddings[torch.tensor([path, path])]
    assert aligner.best_classes(frames, torch.tensor([8, 3])) == [path, [0, 3, 3]]


def test_collapsing_takes_out_repeats_and_blanks() -> None:
    assert ctc_collapse([0, 3, 3, 0, 3, 5, 5, 2, 0, 0, 4, 4]) == [3, 3, 5, 2, 4]
    assert ctc_collapse([0, 0]) == ctc_collapse([]) == []
