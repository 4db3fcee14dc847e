"""Draws one of several versions by their weights. The same seed always draws the same version.

The method is weighted rendezvous hashing: each version draws an exponential variate from the seed, and the smallest one
wins. Each version is then drawn as often as its weight says, and a change of a weight moves as few seeds as possible to
another version. Source: Schindelhauer and Schomaker, "Weighted distributed hash tables" (SPAA 2005), the logarithmic
method. Knows nothing about models.
"""

import math
from collections.abc import Mapping
from hashlib import sha256


def draw_version(seed: str, weights: Mapping[str, float]) -> str | None:
    """Return one of the names, drawn by its weight, or None if no weight is above 0."""
    drawn = {name: _exponential_variate(seed, name) / weight for name, weight in weights.items() if weight > 0}
    return min(drawn, key=drawn.__getitem__) if drawn else None


def _exponential_variate(seed: str, name: str) -> float:
    """Return a number that is exponentially distributed over the seeds, with mean 1."""
    digest = sha256(f"{seed}\0{name}".encode()).digest()
    return -math.log((int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1))
