"""One row for several records, in which what their questions have in common is computed once.

Several summaries of one recording begin with the same prompt up to the request: system message and transcript. The
records of a batch become a single row of tokens: each common beginning, followed by its *branches*, the rest of each
question and its answer. A token sees the tokens before it in its own branch and in the beginning that belongs to it,
at the positions that they would have in a row of their own, so the loss is that of separate rows. Rows of several
recordings stand beside each other in the same way, without padding.

`SharedPrefixCollator` builds the row, and `accept_branches` lets a Transformers model take it. This works for text
models; a model that hears would have to share the audio too. Knows nothing about losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch

from training.data.record import Record
from training.models.checkpoint import unwrap_peft
from training.models.collate import IGNORE_INDEX, Collator, Example

MAX_ROW_WORDS = 1600  # of a row; longer transcripts have rows of their own for each few requests


@dataclass
class SharedPrefixCollator:
    """Makes one row of the groups of a batch. A row of the data set holds a group, the JSON of its `records`."""

    collator: Collator

    def __call__(self, rows: Sequence[dict[str, list[str]]]) -> dict[str, torch.Tensor]:
        groups = [[Record.from_json(line) for line in row["records"]] for row in rows]
        return join_rows([[self.collator.encode_example(record)[0] for record in group] for group in groups])


def group_by_material(records: Sequence[Record], max_words: int = MAX_ROW_WORDS) -> list[list[Record]]:
    """Return the records in groups with the same material: the same transcript, or the same notes.

    The groups are in the order of their first records. Records of the same material are in several groups if their row
    would have more than about `max_words` words, because the memory of a step grows with its longest row.
    """
    by_material: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_material.setdefault((record.transcript, record.notes), []).append(record)
    groups = []
    for (transcript, notes), same in by_material.items():
        group: list[Record] = []
        shared_words = words = _word_count(transcript) + _word_count(notes)
        for record in same:
            own_words = _word_count(record.query) + _word_count(record.summary)
            if group and words + own_words > max_words:
                groups.append(group)
                group, words = [], shared_words
            group.append(record)
            words += own_words
        groups.append(group)
    return groups


def join_rows(groups: Sequence[Sequence[Example]]) -> dict[str, torch.Tensor]:
    """Return the batch of one row, all of whose tensors have the shape (1, tokens).

    groups: examples whose questions begin alike. Examples of different groups share nothing.

    Returns:
        `input_ids`, `labels` (IGNORE_INDEX outside of answers), `position_ids`, `group_ids` (the number of the group),
        and `branch_ids` (0 for a common beginning, else the number of the branch within its group).
    """
    columns: dict[str, list[int]] = {
        name: [] for name in ("input_ids", "labels", "position_ids", "group_ids", "branch_ids")
    }

    def extend(ids: list[int], labels: list[int], start: int, group: int, branch: int) -> None:
        columns["input_ids"] += ids
        columns["labels"] += labels
        columns["position_ids"] += range(start, start + len(ids))
        columns["group_ids"] += [group] * len(ids)
        columns["branch_ids"] += [branch] * len(ids)

    for group, examples in enumerate(groups):
        # A branch keeps one token of its question: the token before an answer predicts the answer's first token.
        common = min(_common_length([question for question, _, _ in examples]), *(len(q) - 1 for q, _, _ in examples))
        shared = examples[0][0][:common]
        extend(shared, [IGNORE_INDEX] * common, 0, group, 0)
        for branch, (question, answer, labels) in enumerate(examples, start=1):
            rest = question[common:]
            extend(rest + answer, [IGNORE_INDEX] * len(rest) + labels, common, group, branch)
    return {name: torch.tensor([values]) for name, values in columns.items()}


def branch_mask(group_ids: torch.Tensor, branch_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive attention mask of shape (1, 1, tokens, tokens): 0 where a token (third dimension) sees
    another (fourth), and the lowest number of the type elsewhere.

    group_ids, branch_ids: as `join_rows` returns them.
    """
    tokens = group_ids.shape[1]
    mine, theirs = (group_ids[0, :, None], branch_ids[0, :, None]), (group_ids[0, None], branch_ids[0, None])
    before = torch.ones(tokens, tokens, dtype=torch.bool, device=group_ids.device).tril()
    sees = before & (mine[0] == theirs[0]) & ((theirs[1] == 0) | (mine[1] == theirs[1]))
    lowest = torch.finfo(dtype).min
    return torch.zeros(tokens, tokens, dtype=dtype, device=group_ids.device).masked_fill_(~sees, lowest)[None, None]


def accept_branches(model: Any) -> None:
    """Let the model's forward pass take `group_ids` and `branch_ids` instead of an attention mask.

    The backbone is changed, and not the model around it, whose forward pass TRL replaces by its own.
    """
    backbone = unwrap_peft(model).base_model
    plain = backbone.forward

    @wraps(plain)
    def forward(*given: Any, group_ids: Any = None, branch_ids: Any = None, **named: Any) -> Any:
        if group_ids is not None:
            named["attention_mask"] = branch_mask(group_ids, branch_ids, backbone.get_input_embeddings().weight.dtype)
        return plain(*given, **named)

    backbone.forward = forward


def _common_length(questions: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all questions share."""
    for length, column in enumerate(zip(*questions, strict=False)):
        if len(set(column)) > 1:
            return length
    return min(map(len, questions))


def _word_count(text: str) -> int:
    return len(text.split())
