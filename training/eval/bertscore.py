"""BERTScore (Zhang et al., ICLR 2020, arXiv 1904.09675, section 3): how well two texts' tokens match in a BERT's
vector space.

Each token of one text is matched with the nearest of the other by the cosine of their contextual vectors; precision is
the mean over the summary's tokens, recall over the reference's, and what is reported is their F-measure. No idf
weights, no baseline: the figures of two encoders, or of two layers, are not comparable, so whoever shows them shows
`BertScore.name`. The marks around a text ([CLS], [SEP]) can be matched but do not count, as in the authors' package,
whose release (bert-score 0.3.13) fails on an empty summary under Transformers 5 and cuts long ones in silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from model_repo.cache import file_sha256

BATCH_SIZE = 32


@dataclass
class BertScore:
    """folder: an encoder and its tokenizer, as Transformers saves them; nothing is downloaded. layer: whose vectors, 1
    is the first; 0 is three quarters of the way up, about where the authors found most encoders at their best. cut:
    texts that were longer than the encoder takes and were compared by their beginning.
    """

    folder: Path
    layer: int = 0
    truncated: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        if not (self.folder / "config.json").is_file():
            raise ValueError(f"{self.folder} is no encoder's folder: there is no config.json in it")
        self.model = AutoModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        layers = int(self.model.config.num_hidden_layers)
        self.layer = self.layer or int(0.75 * layers + 0.5)
        if not 1 <= self.layer <= layers:
            raise ValueError(f"layer {self.layer} of {self.folder}: it has {layers} (--bert-layer)")
        self.longest = min(int(self.tokenizer.model_max_length), int(self.model.config.max_position_embeddings))

    @cached_property
    def name(self) -> str:
        """What the figures depend on: the folder's name, the layer, and the beginning of the weights' SHA-256."""
        files = sorted([*self.folder.glob("*.safetensors"), *self.folder.glob("*.bin")])
        layers = self.model.config.num_hidden_layers
        return f"{self.folder.resolve().name}, layer {self.layer} of {layers}, weights {file_sha256(files[0])[:12]}"

    def f1(self, references: Sequence[str], summaries: Sequence[str]) -> list[float]:
        """A figure a pair, 0 where one of the two is empty."""
        out = []
        for start in range(0, len(references), BATCH_SIZE):
            pairs = list(
                zip(references[start : start + BATCH_SIZE], summaries[start : start + BATCH_SIZE], strict=True)
            )
            vectors = self._vectors([text for pair in pairs for text in pair])
            for (reference, summary), one, other in zip(pairs, vectors[::2], vectors[1::2], strict=True):
                out.append(greedy_match_f1(*one, *other) if reference.strip() and summary.strip() else 0.0)
        return out

    @torch.no_grad()
    def _vectors(self, texts: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of each text, its tokens' vectors (tokens, width) and whether each counts (tokens)."""
        given: Any = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_special_tokens_mask=True,
            return_overflowing_tokens=True,
            return_tensors="pt",
        )
        # What did not fit comes as further rows of the same text: the first is its beginning.
        owner = given["overflow_to_sample_mapping"].tolist()
        first = [owner.index(i) for i in range(len(texts))]
        self.truncated |= {texts[i] for i in range(len(texts)) if owner.count(i) > 1}
        marks, mask = given["special_tokens_mask"][first].bool(), given["attention_mask"][first].bool()
        inputs = {k: v[first].to(self.model.device) for k, v in given.items() if k in ("input_ids", "attention_mask")}
        found = self.model(**inputs, output_hidden_states=True).hidden_states[self.layer].float().cpu()
        return [(v[m], ~s[m]) for v, m, s in zip(found, mask, marks, strict=True)]


def greedy_match_f1(
    reference: torch.Tensor, counts: torch.Tensor, summary: torch.Tensor, summary_counts: torch.Tensor
) -> float:
    """F-measure of the greedy matching. Vectors (tokens, width) of two texts and which of them count (tokens)."""
    normal = torch.nn.functional.normalize
    near = normal(summary, dim=-1) @ normal(reference, dim=-1).T
    precision = float(near.max(1).values[summary_counts].mean())
    recall = float(near.max(0).values[counts].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
