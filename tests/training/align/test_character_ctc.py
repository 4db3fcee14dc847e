import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.tiny_checkpoints import record
from training.align import character_ctc
from training.align.character_ctc import ALPHABET, CharacterHead, character_classes, forced_alignments, train_head
from training.models.split_encoder import Clip


@pytest.mark.parametrize(
    ("text", "letters", "origins"),
    [
        ("Call Anna", "call anna", list(range(9))),
        (" it's ", "it's", [1, 2, 3, 4]),
        ("No -- 24 stop!!", "no stop", [0, 1, 2, 9, 10, 11, 12]),
        ("Zoë S", "zo s", [0, 1, 2, 4]),
        ("42.", "", []),
        ("", "", []),
    ],
)
def test_a_text_is_spelled_in_letters_and_single_spaces(text: str, letters: str, origins: list[int]) -> None:
    classes, found = character_classes(text)
    assert "".join(ALPHABET[c - 1] for c in classes) == letters
    assert found == origins


def by_every_path(scores: NDArray[np.float32], targets: Sequence[int]) -> list[int] | None:
    """What forced alignment should give, from all the paths there are."""
    count, classes = scores.shape
    paths = (
        path
        for path in itertools.product(range(classes), repeat=count)
        if [c for c, _ in itertools.groupby(path) if c] == list(targets)
    )
    best = max(paths, key=lambda path: sum(float(scores[t, c]) for t, c in enumerate(path)), default=None)
    if best is None:
        return None
    out, at = [], 0
    for letter, run in itertools.groupby(best):
        frames = range(at, at := at + len(list(run)))
        if letter:
            out.append(max(frames, key=lambda t: float(scores[t, letter])))
    return out


def aligned(scores: NDArray[np.float32], targets: Sequence[int]) -> list[int] | None:
    return forced_alignments(torch.from_numpy(scores)[None], [len(scores)], [targets])[0]


def test_forced_alignment_is_the_best_of_all_paths_alone_or_among_others() -> None:
    draw = np.random.default_rng(0)
    targets = [draw.integers(1, 3, size=draw.integers(1, 5)).tolist() for _ in range(120)]  # two letters: many repeats
    scores = [draw.normal(0, 2, size=(draw.integers(1, 8), 3)).astype(np.float32) for _ in range(120)]
    wanted = [by_every_path(each, said) for each, said in zip(scores, targets, strict=True)]
    assert 40 < sum(path is not None for path in wanted) < 115, "the draw holds targets that fit and some that do not"
    assert [aligned(each, said) for each, said in zip(scores, targets, strict=True)] == wanted
    together = torch.from_numpy(draw.normal(0, 2, size=(120, 8, 3)).astype(np.float32))  # noise after a clip's end
    for row, each in zip(together, scores, strict=True):
        row[: len(each)] = torch.from_numpy(each)
    assert forced_alignments(together, [len(each) for each in scores], targets) == wanted


def test_a_repeated_letter_needs_a_frame_between() -> None:
    flat = np.zeros((3, 3), np.float32)
    assert aligned(flat[:2], [1, 1]) is None
    assert aligned(flat, [1, 1]) == [0, 2]
    assert aligned(flat[:2], [1, 2]) == [0, 1]


def test_targets_that_do_not_fit_or_are_none_have_no_alignment() -> None:
    assert aligned(np.zeros((3, 6), np.float32), [1, 2, 3, 4]) is None
    assert aligned(np.zeros((3, 6), np.float32), []) is None
    assert aligned(np.zeros((0, 6), np.float32), [1]) is None


def clip_of(text: str, folder: Path, every: int = 4) -> tuple[Clip, list[int]]:
    """A clip in whose frames the letters of a text can be seen, one in every so many frames; and which those are."""
    classes, _ = character_classes(text)
    draw = np.random.default_rng(len(text))
    frames = draw.normal(0, 0.1, size=(every * len(classes), len(ALPHABET) + 1))
    said = [every * i + 1 for i in range(len(classes))]
    frames[:, 0] += 3
    frames[said, 0], frames[said, classes] = frames[said, classes], frames[said, 0]
    file = folder / f"{len(text)}.npy"
    np.save(file, np.stack([np.zeros_like(frames), frames]).astype(np.float16))
    return Clip(record(1, folder), file), said


def test_the_head_learns_where_letters_are_said(tmp_path: Path, clock: Callable[[Any, float], None]) -> None:
    texts = ["please call anna", "the pump failed", "nothing to see here"]
    known = [clip_of(text, tmp_path) for text in texts]
    torch.manual_seed(0)
    head = CharacterHead(len(ALPHABET) + 1, hidden=64)
    clock(character_ctc, 60 / 300)
    first = train_head(head, [clip for clip, _ in known], texts, 1 / 300)
    assert first > 2.0, "one step: untrained"
    last = train_head(head, [clip for clip, _ in known], texts, 1)
    assert last < 0.2 * first
    for (clip, said), text in zip(known, texts, strict=True):
        with torch.no_grad():
            scores = head(clip.top_features().float()[None])[0].numpy()
        np.testing.assert_allclose(np.exp(scores).sum(-1), 1, rtol=1e-4)
        found = aligned(scores, character_classes(text)[0])
        assert found is not None
        right = np.mean([a == b for a, b in zip(found, said, strict=True)])
        assert right > 0.8


def test_a_head_takes_a_step_even_when_there_is_no_time(tmp_path: Path, clock: Callable[[Any, float], None]) -> None:
    clip, _ = clip_of("call anna", tmp_path)
    head = CharacterHead(len(ALPHABET) + 1, hidden=8)
    before = [p.clone() for p in head.parameters()]
    clock(character_ctc, 100.0)
    assert np.isfinite(train_head(head, [clip], ["call anna"], 1))
    assert any(not torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True))
