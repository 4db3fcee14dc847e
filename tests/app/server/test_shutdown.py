"""Signals that stop the service are noticed at once, and handled as before."""

import asyncio
import signal

import pytest

from app.server.shutdown import DrainEvent, watch_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_noticed_and_passed_on(number: signal.Signals) -> None:
    passed_on: list[int] = []
    before = signal.signal(number, lambda got, _: passed_on.append(got))
    own = signal.getsignal(number)
    try:
        stopping = DrainEvent(7)
        with watch_signals(stopping):
            assert not await stopping.wait_with_timeout(0)
            signal.raise_signal(number)
            assert await stopping.wait_with_timeout(5)
            assert stopping.delay_s == (0 if number == signal.SIGINT else 7), "whoever presses Ctrl+C does not wait"
        assert passed_on == [number]
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


async def test_the_end_of_the_service_is_one_too() -> None:
    stopping = DrainEvent(7)
    with watch_signals(stopping):
        pass
    assert stopping.is_set()


async def test_elsewhere_than_in_the_main_thread_nothing_is_done() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def run() -> None:
        async def watch() -> None:
            with watch_signals(DrainEvent()):
                assert signal.getsignal(signal.SIGTERM) is before

        asyncio.run(watch())

    await asyncio.to_thread(run)
