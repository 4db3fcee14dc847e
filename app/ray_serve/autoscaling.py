"""Decides how many replicas each deployment needs, by the seconds of audio that callers wait for.

Requests are no measure: one is a voicemail, and another one a conference of four hours. Serve keeps the decisions
within the bounds of each deployment and waits as long as its delays say.
"""

import math
from collections.abc import Mapping
from typing import Any

from app.ray_serve.ingress import QUEUED_AUDIO


class QueuedAudioPolicy:
    """A policy of Serve for the whole application.

    audio_seconds_per_replica: the seconds of audio, by deployment, of which one replica is to have no more. A
    deployment that is not named keeps its replicas.
    """

    def __init__(self, audio_seconds_per_replica: Mapping[str, float]) -> None:
        if unusable := [name for name, seconds in audio_seconds_per_replica.items() if seconds <= 0]:
            raise ValueError(f"audio_seconds_per_replica of {unusable[0]} must be more than 0")
        self._seconds = dict(audio_seconds_per_replica)

    def __call__(self, contexts: Mapping[Any, Any]) -> tuple[dict[Any, int], dict[Any, Any]]:
        """Return the number of replicas by deployment, and no state. contexts: Serve's, by deployment."""
        queued = sum(
            sum((context.aggregated_metrics or {}).get(QUEUED_AUDIO, {}).values()) for context in contexts.values()
        )
        return {
            id_: max(1, math.ceil(queued / self._seconds[context.deployment_name]))
            for id_, context in contexts.items()
            if context.deployment_name in self._seconds
        }, {}
