"""Means with intervals, and percentiles, of a benchmark's repeats. Knows nothing about what is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, in the unit of what was measured."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of at least two repeats with its 95 % interval by Student's t.

    Raises:
        ValueError: if there are fewer than two values, of which nothing can be said.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two repeats, and there are {len(values)}")
    mean = float(np.mean(values))
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Return the geometric mean of the ratios of paired repeats, with its 95 % interval.

    The n-th numerator and the n-th denominator were measured one after the other, so that what slows the machine down
    for a while slows both.
    """
    logarithms = mean_interval(np.log(np.divide(numerators, denominators)).tolist())
    return Interval(*(float(np.exp(value)) for value in (logarithms.mean, logarithms.low, logarithms.high)))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of values, interpolated between neighbours."""
    return float(np.percentile(values, percent))
