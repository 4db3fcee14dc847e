"""The number of replicas follows the seconds of audio that callers wait for, over all replicas of the ingress."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.ray_serve.autoscaling import QueuedAudioPolicy
from app.ray_serve.ingress import QUEUED_AUDIO


def contexts(*queued: float) -> dict[str, Any]:
    ingress = {QUEUED_AUDIO: {f"replica-{number}": seconds for number, seconds in enumerate(queued)}}
    metrics = {"ingress": ingress, "ear": {}, "engine": None}
    return {
        f"id of {name}": SimpleNamespace(deployment_name=name, aggregated_metrics=metric)
        for name, metric in metrics.items()
    }


@pytest.mark.parametrize(
    ("queued", "engines", "ears"), [((), 1, 1), ((0, 0), 1, 1), ((100,), 1, 10), ((400, 201), 7, 61)]
)
def test_replicas_by_queued_audio(queued: tuple[float, ...], engines: int, ears: int) -> None:
    decisions, state = QueuedAudioPolicy({"engine": 100, "ear": 10})(contexts(*queued))
    assert (decisions, state) == ({"id of engine": engines, "id of ear": ears}, {})


def test_a_deployment_cannot_have_replicas_for_no_audio() -> None:
    with pytest.raises(ValueError, match="engine"):
        QueuedAudioPolicy({"ear": 10, "engine": 0})
