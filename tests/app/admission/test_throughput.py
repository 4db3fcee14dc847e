"""The throughput of the service, measured from its answers."""

import pytest

from app.admission.throughput import Throughput


def test_nothing_is_known_before_the_first_answer() -> None:
    now = 0.0
    pace = Throughput(lambda: now)
    assert pace.rate is None
    pace.start_recording()
    now = 5
    pace.finish_recording(60, succeeded=False)
    assert pace.rate is None


def test_idle_times_do_not_count() -> None:
    now = 0.0
    pace = Throughput(lambda: now)
    for began in (0, 100, 1000):
        now = began
        pace.start_recording()
        now = began + 10
        pace.finish_recording(60, succeeded=True)
    assert pace.rate == pytest.approx(6)


def test_answers_side_by_side_count_together() -> None:
    now = 0.0
    pace = Throughput(lambda: now)
    for _ in range(4):
        pace.start_recording()
    now = 10
    for _ in range(4):
        pace.finish_recording(60, succeeded=True)
    assert pace.rate == pytest.approx(6 * (1 + 0.9 + 0.81 + 0.729) / 0.729)


def test_what_is_new_weighs_most() -> None:
    now = 0.0
    pace = Throughput(lambda: now)
    for speed in (1, *[10] * 30):
        pace.start_recording()
        now += 60 / speed
        pace.finish_recording(60, succeeded=True)
    assert pace.rate == pytest.approx(10, rel=0.1)
