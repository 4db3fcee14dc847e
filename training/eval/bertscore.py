"""BERTScore (Zhang et al., ICLR 2020, arXiv 1904.09675, section 3): how well the tokens of two texts match in the
vector space of an encoder such as BERT.

Each token of one text is matched with the nearest token of the other by the cosine of their contextual vectors.
Precision is the mean over the tokens of the summary, recall the mean over the tokens of the reference, and the score is
their F-measure, without idf weights and without rescaling. Scores of different encoders or layers are not comparable,
so `BertScore.name` is shown with them. Special tokens ([CLS], [SEP]) can be matched but do not count, as in the
authors' package; that is not used here because its release (bert-score 0.3.13) fails on an empty summary under
Transformers 5, and cuts long texts without saying so.
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
    """Computes BERTScore with one layer of an encoder, on the GPU if there is one.

    folder: an encoder and its tokenizer, as Transformers saves them; nothing is downloaded. layer: the layer whose
    vectors are compared; 1 is the first, and 0 is the one at three quarters of the depth, about where most encoders of
    the paper are at their best. truncated: texts that were longer than the encoder takes; only their beginning was
    compared. Raises ValueError if the folder holds no encoder, or if it has no such layer.
    """

    folder: Path
    layer: int = 0
    truncated: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        from transformers import AutoModel, AutoTokenizer

        if not (self.folder / "config.json").is_file():
            raise ValueError(f"{self.folder} is not the folder of an encoder: it has no config.json")
        self.model = AutoModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        layers = int(self.model.config.num_hidden_layers)
        self.layer = self.layer or int(0.75 * layers + 0.5)
        if not 1 <= self.layer <= layers:
            raise ValueError(f"{self.folder} has {layers} layers, so --bert-layer cannot be {self.layer}")
        self.longest = min(int(self.tokenizer.model_max_length), int(self.model.config.max_position_embeddings))

    @cached_property
    def name(self) -> str:
        """Return what the scores depend on: the folder's name, the layer, and the start of the weights' SHA-256."""
        files = sorted([*self.folder.glob("*.safetensors"), *self.folder.glob("*.bin")])
        layers = self.model.config.num_hidden_layers
        return f"{self.folder.resolve().name}, layer {self.layer} of {layers}, weights {file_sha256(files[0])[:12]}"

    def f1(self, references: Sequence[str], summaries: Sequence[str]) -> list[float]:
        """Return the F-measure of each pair, about -1 to 1; 0 if one of the two texts is empty."""
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
        """Return for each text the vectors of its tokens (tokens, width), and whether each token counts (tokens,)."""
        given: Any = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_special_tokens_mask=True,
            return_overflowing_tokens=True,
            return_tensors="pt",
        )
        # A text that is too long has several rows. The first of them is its beginning.
        owner = given["overflow_to_sample_mapping"].tolist()
        first = [owner.index(i) for i in range(len(texts))]
        self.truncated |= {texts[i] for i in range(len(texts)) if owner.count(i) > 1}
        marks, mask = given["special_tokens_mask"][first].bool(), given["attention_mask"][first].bool()
        inputs = {k: v[first].to(self.model.device) for k, v in given.items() if k in ("input_ids", "attention_mask")}
        hidden = self.model(**inputs, output_hidden_states=True).hidden_states[self.layer].float().cpu()
        return [(v[m], ~s[m]) for v, m, s in zip(hidden, mask, marks, strict=True)]


def greedy_match_f1(
    reference: torch.Tensor, counts: torch.Tensor, summary: torch.Tensor, summary_counts: torch.Tensor
) -> float:
    """Return the F-measure of the greedy matching of two texts.

    reference, summary: the vectors of the tokens, float (tokens, width). counts, summary_counts: which tokens count,
    bool (tokens,).
    """
    normal = torch.nn.functional.normalize
    near = normal(summary, dim=-1) @ normal(reference, dim=-1).T
    precision = float(near.max(1).values[summary_counts].mean())
    recall = float(near.max(0).values[counts].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
