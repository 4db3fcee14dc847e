"""Which of several versions a request gets: drawn by their weights, and by the same seed always the same one.

Weighted rendezvous hashing: each version draws a number of its own for the seed, and the least of these exponential
variates wins, so that each is drawn as often as its weight says, and another weight moves no more seeds than it has to.
Source: Schindelhauer and Schomaker, "Weighted distributed hash tables" (SPAA 2005), the logarithmic method. Knows
nothing about models.
"""

import math
from collections.abc import Mapping
from hashlib import sha256


def draw_version(seed: str, weights: Mapping[str, float]) -> str | None:
    """One of the names; None if none has a weight above 0."""
    drawn = {name: _exponential_variate(seed, name) / weight for name, weight in weights.items() if weight > 0}
    return min(drawn, key=drawn.__getitem__) if drawn else None


def _exponential_variate(seed: str, name: str) -> float:
    """Exponentially distributed over seeds, with mean 1."""
    digest = sha256(f"{seed}\0{name}".encode()).digest()
    return -math.log((int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1))
