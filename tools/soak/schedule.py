"""Which fault comes when, by a seed. Knows nothing about how faults are injected."""

import random
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What can happen to a service."""

    SERVICE_KILL = "service_kill"
    SERVICE_STOP = "service_stop"
    ENGINE_KILL = "engine_kill"
    DECODER_KILL = "decoder_kill"
    DATABASE_KILL = "database_kill"
    RECEIVER_KILL = "receiver_kill"
    DISK_FULL = "disk_full"
    CLOCK_JUMP = "clock_jump"
    SLOW_CLIENTS = "slow_clients"


# These end the service's process, whose memory can only be followed while it lives. They come first, so that the same
# process then lives until the end.
ENDING_KINDS = (FaultKind.SERVICE_KILL, FaultKind.SERVICE_STOP)
ENDING_SHARE = 0.4
# Parts of the run without faults: at first everything must work once, and at the end everything must come to rest.
QUIET_START, QUIET_END = 0.04, 0.12


@dataclass(frozen=True)
class Fault:
    """A fault. at_s: seconds from the beginning of the run."""

    at_s: float
    kind: FaultKind


def plan_faults(kinds: list[FaultKind], count: int, seconds: float, seed: int) -> list[Fault]:
    """Return `count` faults over a run of so many seconds, in order; the same seed gives the same plan.

    Each kind comes equally often, as far as the count allows.
    """
    draw = random.Random(seed)
    drawn = [kinds[number % len(kinds)] for number in range(count)]
    ending = [kind for kind in drawn if kind in ENDING_KINDS]
    others = [kind for kind in drawn if kind not in ENDING_KINDS]
    first, last = seconds * QUIET_START, seconds * (1 - QUIET_END)
    split = first + (last - first) * ENDING_SHARE
    spread = [*_spread(ending, first, split, draw), *_spread(others, first, last, draw)]
    return sorted(spread, key=lambda fault: fault.at_s)


def _spread(kinds: list[FaultKind], start_s: float, end_s: float, draw: random.Random) -> list[Fault]:
    """Put the kinds into slots of equal length, in random order, each at a random moment of its slot."""
    kinds = draw.sample(kinds, len(kinds))
    slot = (end_s - start_s) / max(1, len(kinds))
    return [Fault(start_s + (number + draw.random()) * slot, kind) for number, kind in enumerate(kinds)]
