"""Words the language model reads: which tokens are said in which frames, and the frames trained to lie at them.

The score of token v at a frame p is -|p - E_v|² / 2 (E: the language model's own token embeddings), so a frame that
says "budget" comes to lie where the embedding of "budget" lies, and one that says nothing lies at "Ġ" (a space), the
blank. A frozen SmolLM2 reads one spike a token among such blanks far better than anything else of that rate.
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
Spikes = list[tuple[int, int]]  # (frame at 25 Hz, class), frames ascending


def spoken_words(transcripts: Sequence[str]) -> list[str]:
    """The words of each transcript as they are spoken, without signs; sentences begin in lower case but for names.

    A capital cannot be heard. A word at the head of a sentence keeps it only if the texts never write it small.
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
    """Token ids of the classes: the blank, then the tokens most frequent in the texts, `size` in all.

    spell_below: words said less often than so many times are to be spelled; only the others' tokens count, and the
    letters' own are classes before them.
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
    """The tokens of single letters, by text: "m" within a word, " m" at its beginning."""
    return {
        begins + letter: tokenizer.convert_tokens_to_ids((BLANK if begins else "") + letter)
        for begins in ("", " ")
        for letter in ALPHABET[1:]
    }


def letter_classes(text: str) -> tuple[list[int], list[int]]:
    """The character classes of a text as it is said, and of each the index in " " + text."""
    return character_classes(" " + text)


def token_spikes(
    text: str,
    frames: Sequence[int],
    count: int,
    tokenizer: Any,
    number: dict[int, int],
    single: Mapping[str, int] = MappingProxyType({}),
) -> Spikes | None:
    """Where each token of the text is said: the frame (25 Hz) its last letter is surest in, one token a frame.

    frames: where each of the text's `letter_classes` is said, at 50 Hz. count: frames of the clip, at 25 Hz. number:
    classes by token id; other tokens are left out. single: of `letter_token_ids`; with it their words are spelled
    instead, a small letter a token. None if the tokens do not fit into the frames.
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
    """Tokens of a text that begins with a space, and what each stands for; words that have others than `number` knows
    letter by letter, if there are single letters.
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
    """Encoder and projector under a classification of frames by token embeddings.

    embeddings: (classes, width), class 0 the blank. sharpness: factor on the scores.
    """

    embeddings: Tensor

    def __init__(self, encoder: SplitEncoder, embeddings: Tensor, sharpness: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.sharpness = sharpness
        self.register_buffer("embeddings", embeddings, persistent=False)

    def log_probabilities(self, frames: Tensor) -> Tensor:
        """(…, width) → (…, classes): how near each frame lies to each token's embedding."""
        half_norms = self.embeddings.square().sum(-1) / 2
        return (self.sharpness * (frames @ self.embeddings.T - half_norms)).log_softmax(-1)

    def forward(
        self, hidden: Tensor, lengths: Tensor, where: Sequence[Spikes], blanks: float, pull: float = 0.0
    ) -> Tensor:
        """Mean cross-entropy over every spike and `blanks` times as many of the frames that say nothing, and `pull`
        times the mean squared distance of these frames to the embeddings they should lie at.

        Cross-entropy alone is blind to a frame's length and to all that lies across the embeddings: frames ten times
        as long as any token's, which a language model cannot read, satisfy it. The pull is what puts them in place.

        Fewer silent frames than there are make the model readier to say a word than the truth would be: an unsure
        frame then leans towards the word instead of vanishing in the blank.
        """
        frames, counts = self.encoder(hidden, lengths)
        rows: list[Tensor] = []
        classes: list[int] = []
        known = counts.tolist()
        for row, said in enumerate(where):
            at = torch.tensor([frame for frame, _ in said])
            silent = torch.ones(known[row], dtype=torch.bool)
            silent[at] = False
            others = silent.nonzero()[:, 0]
            others = others[torch.randperm(len(others))[: round(blanks * len(said))]]
            rows.append(frames[row, torch.cat([at, others]).to(frames.device)])
            classes += [token for _, token in said] + [0] * len(others)
        chosen = torch.cat(rows).float()
        truth = torch.tensor(classes, device=chosen.device)
        with torch.autocast(chosen.device.type, enabled=False):  # differences of large numbers: not in bfloat16
            scores = self.log_probabilities(chosen)
        away = (chosen - self.embeddings[truth]).square().sum(-1).mean()
        return nn.functional.nll_loss(scores, truth) + pull * away

    @torch.no_grad()
    def distances(self, frames: Tensor, where: Sequence[Spikes]) -> Tensor:
        """How far each frame that says a token lies from its embedding, over the embeddings' mean length."""
        away = [
            (frames[row, frame] - self.embeddings[token]).norm()
            for row, said in enumerate(where)
            for frame, token in said
        ]
        return torch.stack(away) / self.embeddings.norm(dim=-1).mean()

    @torch.no_grad()
    def best_classes(self, frames: Tensor, counts: Tensor) -> list[list[int]]:
        """The best class of each frame."""
        best = self.log_probabilities(frames).argmax(-1).tolist()
        return [row[:count] for row, count in zip(best, counts.tolist(), strict=True)]


def ctc_collapse(path: Sequence[int]) -> list[int]:
    """The classes of a path of frames, repeats and blanks taken out."""
    return [c for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
