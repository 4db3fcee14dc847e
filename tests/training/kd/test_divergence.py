"""Against the definitions, written out with sums over events."""

import math

import pytest
import torch
from torch import Tensor

from training.kd.divergence import DenseDistribution, TopKDistribution, divergence

ROWS, WORDS = 5, 7


@pytest.fixture
def student() -> Tensor:
    torch.manual_seed(1)
    return (2 * torch.randn(ROWS, WORDS)).requires_grad_(True)


@pytest.fixture
def teacher() -> Tensor:
    torch.manual_seed(2)
    return (2 * torch.randn(ROWS, WORDS)).log_softmax(-1)


def exact(p: list[float], q: list[float]) -> float:
    """KL(p || q)."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)


def reference_divergence(teacher: Tensor, student: Tensor, beta: float) -> list[float]:
    """Of probabilities, row by row."""
    out = []
    for t, s in zip(teacher.tolist(), student.tolist(), strict=True):
        if beta in (0, 1):
            out.append(exact(t, s) if beta == 0 else exact(s, t))
        else:
            middle = [beta * a + (1 - beta) * b for a, b in zip(t, s, strict=True)]
            out.append(beta * exact(t, middle) + (1 - beta) * exact(s, middle))
    return out


@pytest.mark.parametrize("beta", [0, 0.1, 0.5, 1])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_it_is_the_definition_however_it_is_cut(student: Tensor, teacher: Tensor, beta: float, chunk: int) -> None:
    found = divergence(student, DenseDistribution(teacher), beta, chunk)
    assert found.tolist() == pytest.approx(reference_divergence(teacher.exp(), student.softmax(-1), beta), abs=1e-6)


@pytest.mark.parametrize("beta", [0, 0.5, 1])
def test_it_is_zero_only_for_equals_and_its_gradient_leads_there(teacher: Tensor, beta: float) -> None:
    assert divergence(teacher, DenseDistribution(teacher), beta).abs().max() < 1e-6
    logits = torch.zeros(ROWS, WORDS, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    first = divergence(logits, DenseDistribution(teacher), beta).mean().item()
    for _ in range(300):
        optimizer.zero_grad()
        loss = divergence(logits, DenseDistribution(teacher), beta, 2).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02 * first


def best(teacher: Tensor, k: int) -> TopKDistribution:
    values, ids = teacher.topk(k, -1)
    return TopKDistribution(ids, values)


@pytest.mark.parametrize("beta", [0, 0.3, 1])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_known_tokens_and_a_tail(student: Tensor, teacher: Tensor, beta: float, k: int) -> None:
    known = best(teacher, k)

    def sum_of_tail(probabilities: Tensor) -> Tensor:
        here = probabilities.gather(-1, known.ids)
        return torch.cat([here, 1 - here.sum(-1, keepdim=True)], -1)

    found = divergence(student, known, beta, 2)
    assert found.tolist() == pytest.approx(
        reference_divergence(sum_of_tail(teacher.exp()), sum_of_tail(student.softmax(-1)), beta), abs=1e-5
    )
    assert (found <= divergence(student, DenseDistribution(teacher), beta) + 1e-5).all(), (
        "a bucket hides differences, it adds none"
    )
    if k == WORDS - 1:  # the tail is the one token left
        torch.testing.assert_close(found, divergence(student, DenseDistribution(teacher), beta), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beta", [0, 0.3, 1])
def test_an_empty_place_counts_for_nothing(student: Tensor, teacher: Tensor, beta: float) -> None:
    known = best(teacher, 3)
    padded = TopKDistribution(
        torch.cat([known.ids, torch.zeros(ROWS, 2, dtype=torch.long)], -1),
        torch.cat([known.log_probabilities, torch.full((ROWS, 2), -torch.inf)], -1),
    )
    torch.testing.assert_close(divergence(student, padded, beta), divergence(student, known, beta))
    divergence(student, padded, beta).sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() > 0


def test_only_the_student_learns(student: Tensor, teacher: Tensor) -> None:
    known = teacher.clone().requires_grad_(True)
    divergence(student, DenseDistribution(known), 0.5).sum().backward()
    assert known.grad is None


def test_no_position_is_no_divergence() -> None:
    assert divergence(torch.zeros(0, WORDS), DenseDistribution(torch.zeros(0, WORDS)), 0).shape == (0,)


@pytest.mark.parametrize("beta", [-0.1, 1.1])
def test_a_beta_that_is_none_is_refused(student: Tensor, teacher: Tensor, beta: float) -> None:
    with pytest.raises(ValueError, match="beta is"):
        divergence(student, DenseDistribution(teacher), beta)
