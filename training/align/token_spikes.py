"""Words that the language model can read: which tokens are said in which frames, and the training of these frames.

The score of token v at a frame p is -|p - E_v|² / 2, with E the language model's own token embeddings. So a frame that
says "budget" moves to the embedding of "budget", and one that says nothing to that of "Ġ" (a space), the blank. A
frozen SmolLM2 reads one token per spike among such blanks far better than anything else at this frame rate.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from training.align.character_ctc import ALPHABET, character_classes
from training.models.split_encoder import SplitEncoder
from training.synth.speech.verbalize import verbalize

BLANK = "Ġ"
Spikes = list[tuple[int, int]]  # the frames (25 Hz, ascending) in which tokens are said, each with its class


def spoken_words(transcripts: Sequence[str]) -> list[str]:
    """Return the words of each transcript as they are spoken, without punctuation. Sentences begin in lower case,
    except for names.

    A capital letter cannot be heard. The first word of a sentence keeps it only if no text has the word in lower case.
    """
    texts = [verbalize(transcript, engine=None) for transcript in transcripts]
    small = {word for text in texts for word in re.findall(r"[^\W\d_]+", text) if word.islower()}
    out = []
    for text in texts:
        text = re.sub(
            r"(^|[.!?:]\s+)([^\W\d_]+)",
            lambda m: m[1] + (m[2].lower() if m[2].lower() in small and m[2] != "I" else m[2]),
            text,
        )
        out.append(" ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)))
    return out


def class_token_ids(tokenizer: Any, texts: Iterable[str], size: int, spell_below: int = 0) -> list[int]:
    """Return the token ids of the classes: the blank, then the most frequent tokens of the texts, `size` in all.

    spell_below: words that occur less often than this are spelled. Then the tokens of single letters come after the
    blank, and only the tokens of the other words count.
    """
    words = Counter(word for text in texts for word in text.split())
    counts: Counter[int] = Counter()
    for word, often in words.items():
        if often >= spell_below:
            for token in tokenizer(" " + word, add_special_tokens=False)["input_ids"]:
                counts[token] += often
    first = [tokenizer.convert_tokens_to_ids(BLANK), *(letter_token_ids(tokenizer).values() if spell_below else ())]
    return list(dict.fromkeys([*first, *(token for token, _ in counts.most_common(size))]))[:size]


def letter_token_ids(tokenizer: Any) -> dict[str, int]:
    """Return the token ids of single letters by their text: "m" within a word, " m" at its beginning."""
    return {
        begins + letter: tokenizer.convert_tokens_to_ids((BLANK if begins else "") + letter)
        for begins in ("", " ")
        for letter in ALPHABET[1:]
    }


def letter_classes(text: str) -> tuple[list[int], list[int]]:
    """Return the character classes of a text as it is said, and the index in " " + text of each."""
    return character_classes(" " + text)


def token_spikes(
    text: str,
    frames: Sequence[int],
    count: int,
    tokenizer: Any,
    number: dict[int, int],
    single: Mapping[str, int] = MappingProxyType({}),
) -> Spikes | None:
    """Return where each token of the text is said: the frame (25 Hz) of its last letter, with at most one token a
    frame. Return None if the tokens do not fit into the frames.

    Args:
        frames: the frame (50 Hz) of each of the text's `letter_classes`.
        count: number of frames of the clip, at 25 Hz.
        number: classes by token id. Other tokens are left out.
        single: what `letter_token_ids` returns. With it, words with other tokens are spelled in lower case.
    """
    said = " " + text
    when = dict(zip(letter_classes(text)[1], frames, strict=True))
    out: Spikes = []
    for token, (start, end) in _token_spans(said, tokenizer, number, single):
        heard = [when[i] for i in range(start, end) if i in when and said[i] != " "]
        if heard and token in number:
            frame = min(heard[-1] // 2, count - 1)  # an odd last frame is in no pair of its own
            out.append((max(frame, out[-1][0] + 1 if out else 0), number[token]))
    return out if out and out[-1][0] < count else None


def _token_spans(
    said: str, tokenizer: Any, number: dict[int, int], single: Mapping[str, int]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the tokens of a text that begins with a space, each with its start and end in the text. With `single`,
    words that have tokens outside of `number` are spelled.
    """
    encoded = tokenizer(said, add_special_tokens=False, return_offsets_mapping=True)
    words: list[list[tuple[int, tuple[int, int]]]] = []
    for token, span in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        if not words or said[span[0]] == " ":
            words.append([])
        words[-1].append((token, span))
    for word in words:
        if not single or all(token in number for token, _ in word):
            yield from word
            continue
        start, end = word[0][1][0], word[-1][1][1]
        for i in range(start, end):
            begins = " " if said[i - 1] == " " else ""
            if (token := single.get(begins + said[i].lower())) is not None:
                yield token, (i, i + 1)


class Aligner(nn.Module):
    """Encoder and projector, with a classification of their frames by token embeddings.

    Args:
        encoder: the encoder and projector that are trained.
        embeddings: token embeddings of shape (classes, width). Class 0 is the blank.
        sharpness: factor on the scores before the softmax.
    """

    embeddings: Tensor

    def __init__(self, encoder: SplitEncoder, embeddings: Tensor, sharpness: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.sharpness = sharpness
        self.register_buffer("embeddings", embeddings, persistent=False)

    def log_probabilities(self, frames: Tensor) -> Tensor:
        """Return the log-probabilities of the classes, of shape (…, classes), for frames of shape (…, width)."""
        half_norms = self.embeddings.square().sum(-1) / 2
        return (self.sharpness * (frames @ self.embeddings.T - half_norms)).log_softmax(-1)

    def forward(
        self, hidden: Tensor, lengths: Tensor, where: Sequence[Spikes], blanks: float, pull: float = 0.0
    ) -> Tensor:
        """Return the loss, a scalar: the mean cross-entropy of the frames that say a token and of `blanks` times as
        many silent frames, drawn at random, plus `pull` times the mean squared distance of these frames to their
        embeddings.

        Cross-entropy alone does not see the length of a frame, nor its part orthogonal to the embeddings: frames ten
        times as long as any embedding satisfy it, and a language model cannot read them. The pull prevents that.

        Training on a part of the silent frames makes the model more ready to say a word: an uncertain frame then
        becomes the word instead of the blank.

        Args:
            hidden: output of the encoder's lower layers, of shape (batch, frames at 50 Hz, width).
            lengths: number of these frames of each clip.
            where: where the tokens of each clip are said.
        """
        frames, counts = self.encoder(hidden, lengths)
        rows: list[Tensor] = []
        classes: list[int] = []
        frame_counts = counts.tolist()
        for row, said in enumerate(where):
            at = torch.tensor([frame for frame, _ in said])
            silent = torch.ones(frame_counts[row], dtype=torch.bool)
            silent[at] = False
            others = silent.nonzero()[:, 0]
            others = others[torch.randperm(len(others))[: round(blanks * len(said))]]
            rows.append(frames[row, torch.cat([at, others]).to(frames.device)])
            classes += [token for _, token in said] + [0] * len(others)
        chosen = torch.cat(rows).float()
        truth = torch.tensor(classes, device=chosen.device)
        with torch.autocast(
            chosen.device.type, enabled=False
        ):  # differences of large numbers, for which bfloat16 is too coarse
            scores = self.log_probabilities(chosen)
        squared_distance = (chosen - self.embeddings[truth]).square().sum(-1).mean()
        return nn.functional.nll_loss(scores, truth) + pull * squared_distance

    @torch.no_grad()
    def distances(self, frames: Tensor, where: Sequence[Spikes]) -> Tensor:
        """Return the distance of each frame with a token to its embedding, divided by the mean length of an embedding,
        of shape (tokens of all clips,).
        """
        lengths = [
            (frames[row, frame] - self.embeddings[token]).norm()
            for row, said in enumerate(where)
            for frame, token in said
        ]
        return torch.stack(lengths) / self.embeddings.norm(dim=-1).mean()

    @torch.no_grad()
    def best_classes(self, frames: Tensor, counts: Tensor) -> list[list[int]]:
        """Return the most likely class of each of the clips' `counts` frames."""
        best = self.log_probabilities(frames).argmax(-1).tolist()
        return [row[:count] for row, count in zip(best, counts.tolist(), strict=True)]


def ctc_collapse(path: Sequence[int]) -> list[int]:
    """Return the classes of a path of frames without repeats and blanks."""
    return [c for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
