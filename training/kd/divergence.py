"""How far a student's next-token distribution lies from its teacher's, in nats.

`beta` goes from forward KL (0: cover all that the teacher would say) to reverse KL (1: say nothing that the teacher
would not), and between them is the generalized Jensen-Shannon divergence of arXiv 2306.13649, eq. 1. Knows nothing
about models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 256  # positions whose distributions are in memory at once


@dataclass(frozen=True)
class DenseDistribution:
    """A teacher's log-probabilities, (positions, vocabulary)."""

    log_probabilities: Tensor


@dataclass(frozen=True)
class TopKDistribution:
    """A teacher of which only the likeliest tokens are known: ids and log-probabilities, both (positions, k).

    A place that holds no token has -inf for its log-probability, and any id. Everything else is one bucket, the tail.
    """

    ids: Tensor
    log_probabilities: Tensor


Distribution = DenseDistribution | TopKDistribution


def exclude_tokens(logits: Tensor, excluded_ids: Sequence[int]) -> Tensor:
    """The logits (…, vocabulary), float32, with no probability on the excluded ids."""
    logits = logits.float()
    if not excluded_ids:
        return logits
    return logits.index_fill(-1, torch.tensor(excluded_ids, device=logits.device), -torch.inf)


def divergence(
    student: Tensor, teacher: Distribution, beta: float, chunk: int = CHUNK, excluded_ids: Sequence[int] = ()
) -> Tensor:
    """student: logits (positions, vocabulary) → (positions,), float32, gradient to the student alone.

    excluded: ids that do not count: the student's distribution is the one over all others, as the teacher's must be.

    With `TopKDistribution` both sides are compared on the known tokens and the tail, which is at most the true
    divergence. Worked out `chunk` positions at a time, and once more in the backward pass, so that no more than a
    chunk's distributions are held. Raises ValueError for a beta outside 0 … 1.
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta is {beta}; it goes from 0 (forward KL) to 1 (reverse KL)")
    parts = []
    for start in range(0, len(student), chunk):
        rows = slice(start, start + chunk)
        if isinstance(teacher, DenseDistribution):
            given = (student[rows], teacher.log_probabilities[rows].detach(), beta, excluded_ids)
            parts.append(checkpoint(_dense_divergence, *given, use_reentrant=False))
        else:
            known = (teacher.ids[rows], teacher.log_probabilities[rows].detach())
            parts.append(checkpoint(_top_k_divergence, student[rows], *known, beta, excluded_ids, use_reentrant=False))
    return torch.cat(parts) if parts else student.new_zeros(0, dtype=torch.float32)


def _dense_divergence(logits: Tensor, teacher: Tensor, beta: float, excluded: Sequence[int]) -> Tensor:
    return _generalized_jsd(exclude_tokens(logits, excluded).log_softmax(-1), teacher.float(), beta)


def _top_k_divergence(logits: Tensor, ids: Tensor, teacher: Tensor, beta: float, excluded: Sequence[int]) -> Tensor:
    known = teacher.float()
    here = exclude_tokens(logits, excluded).log_softmax(-1).gather(-1, ids).masked_fill(known.isneginf(), -torch.inf)
    return _generalized_jsd(_with_tail(here), _with_tail(known), beta)


def _with_tail(log_probabilities: Tensor) -> Tensor:
    """What is left of one, as a last event. Rounding may leave less than nothing: then it is as good as none."""
    rest = 1 - log_probabilities.exp().sum(-1, keepdim=True)
    return torch.cat([log_probabilities, rest.clamp_min(1e-9).log()], -1)


def _generalized_jsd(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Both log-probabilities."""
    if beta == 0:
        return _kl(teacher, student)
    if beta == 1:
        return _kl(student, teacher)
    weights = torch.tensor([beta, 1 - beta], device=student.device).log()
    never = teacher.isneginf() & student.isneginf()  # whose gradient through the logarithm would be NaN
    parts = [teacher.masked_fill(never, 0) + weights[0], student.masked_fill(never, 0) + weights[1]]
    middle = torch.logsumexp(torch.stack(parts), 0)
    return beta * _kl(teacher, middle) + (1 - beta) * _kl(student, middle)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Σ p (log p - log q). An event that neither has adds nothing; nor, without a NaN, does its gradient."""
    possible = ~p.isneginf()
    p, q = p.masked_fill(~possible, 0), q.masked_fill(~possible, 0)
    return (p.exp() * (p - q) * possible).sum(-1)
