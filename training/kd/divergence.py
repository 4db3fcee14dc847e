"""How far a student's next-token distribution is from its teacher's, in nats.

`beta` goes from forward KL (0: cover all that the teacher may say) to reverse KL (1: say nothing that the teacher would
not say). Between them it is the generalized Jensen-Shannon divergence of arXiv 2306.13649, eq. 1. Knows nothing about
models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 256  # positions whose distributions are in memory at once


@dataclass(frozen=True)
class DenseDistribution:
    """A teacher's log-probabilities of all tokens, of shape (positions, vocabulary)."""

    log_probabilities: Tensor


@dataclass(frozen=True)
class TopKDistribution:
    """A teacher's most likely tokens: their ids and log-probabilities, both of shape (positions, k).

    A place that holds no token has the log-probability -inf, and any id. All other tokens are one bucket, the tail.
    """

    ids: Tensor
    log_probabilities: Tensor


Distribution = DenseDistribution | TopKDistribution


def exclude_tokens(logits: Tensor, excluded_ids: Sequence[int]) -> Tensor:
    """Return the logits of shape (…, vocabulary) as float32, with -inf at the excluded ids."""
    logits = logits.float()
    if not excluded_ids:
        return logits
    return logits.index_fill(-1, torch.tensor(excluded_ids, device=logits.device), -torch.inf)


def divergence(
    student: Tensor, teacher: Distribution, beta: float, chunk: int = CHUNK, excluded_ids: Sequence[int] = ()
) -> Tensor:
    """Return the divergence at each position, in nats, of shape (positions,), float32. Only the student gets gradients.

    With a `TopKDistribution`, both sides are compared on the known tokens and the tail, which gives at most the true
    divergence. It is computed `chunk` positions at a time, and again in the backward pass, so that the distributions of
    one chunk are in memory at once.

    Args:
        student: logits of shape (positions, vocabulary).
        teacher: distributions at the same positions.
        beta: from 0 (forward KL) to 1 (reverse KL). Raises ValueError for other values.
        chunk: positions computed at once.
        excluded_ids: token ids that do not count. The student's distribution is taken over all others; the teacher's
            has to be one over all others already.
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
    teacher_known = teacher.float()
    student_known = (
        exclude_tokens(logits, excluded)
        .log_softmax(-1)
        .gather(-1, ids)
        .masked_fill(teacher_known.isneginf(), -torch.inf)
    )
    return _generalized_jsd(_with_tail(student_known), _with_tail(teacher_known), beta)


def _with_tail(log_probabilities: Tensor) -> Tensor:
    """Append the probability of the tail as a last event, at least 1e-9: rounding may make it negative."""
    rest = 1 - log_probabilities.exp().sum(-1, keepdim=True)
    return torch.cat([log_probabilities, rest.clamp_min(1e-9).log()], -1)


def _generalized_jsd(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Return the divergence of two distributions, both given as log-probabilities of shape (positions, events)."""
    if beta == 0:
        return _kl(teacher, student)
    if beta == 1:
        return _kl(student, teacher)
    weights = torch.tensor([beta, 1 - beta], device=student.device).log()
    never = teacher.isneginf() & student.isneginf()  # the gradient through the logarithm would be NaN there
    parts = [teacher.masked_fill(never, 0) + weights[0], student.masked_fill(never, 0) + weights[1]]
    middle = torch.logsumexp(torch.stack(parts), 0)
    return beta * _kl(teacher, middle) + (1 - beta) * _kl(student, middle)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return Σ p (log p - log q). Events that p excludes add nothing, and their gradient is 0 instead of NaN."""
    possible = ~p.isneginf()
    p, q = p.masked_fill(~possible, 0), q.masked_fill(~possible, 0)
    return (p.exp() * (p - q) * possible).sum(-1)
