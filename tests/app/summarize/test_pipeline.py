"""The path of a request, without HTTP."""

import asyncio
from dataclasses import replace
from typing import BinaryIO

import pytest

from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import Samples, create_unnamed_file
from app.core.audio.vad_second_pass import SpeechDetection
from app.core.errors import InvalidRequest, Unavailable
from app.core.prompts import Style
from app.engine.base import EngineEvent, GenerationFinished, GenerationRequest
from app.engine.scripted import ScriptedEngine
from app.summarize.decode_limits import decode_limits
from app.summarize.pipeline import Summarizer
from app.summarize.request import StageProgress, SummaryDelta, SummaryRequest
from app.workers.fair_scheduler import ANONYMOUS, Requester
from app.workers.speech_detector import SpeechDetector
from tests.app.running_service import MODEL, WaveDecoder, loud, settings_for, wav


async def summarizer(engine: ScriptedEngine | None = None, decoder: WaveDecoder | None = None) -> Summarizer:
    engine = engine or ScriptedEngine()
    await engine.start()
    return Summarizer(settings_for(), MODEL, engine, decoder or WaveDecoder(), loud)


async def test_events_come_in_order_and_the_summary_is_their_text() -> None:
    events: list[StageProgress | SummaryDelta] = []
    summary_request = SummaryRequest("one", create_unnamed_file(wav()), Style(tone="dry"))
    summary = await (await summarizer()).summarize(summary_request, events.append)
    stages = [event.stage for event in events if isinstance(event, StageProgress)]
    assert stages == ["decode", "speech", "queue", "engine_prefill", "engine_decode"]
    assert summary.text == "".join(event.text for event in events if isinstance(event, SummaryDelta))
    assert summary.complete
    assert summary_request.audio.closed, "the recording is let go"


class IncompleteDecoder(WaveDecoder):
    """Finds something in the file that it cannot read."""

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = ANONYMOUS) -> DecodedAudio:
        audio = await super().decode(recording, limits, requester)
        return replace(audio, unread=["The recording was cut off."])


@pytest.mark.parametrize("recording", [wav(), wav(amplitude=0)])
async def test_a_recording_of_which_something_was_not_read_is_not_called_complete(recording: bytes) -> None:
    summary = await (await summarizer(decoder=IncompleteDecoder())).summarize(
        SummaryRequest("one", create_unnamed_file(recording)), lambda _: None
    )
    assert not summary.complete


async def test_cancelling_reaches_the_decoder() -> None:
    decoder = WaveDecoder()
    decoder.delay_s = 30
    path = await summarizer(decoder=decoder)
    with create_unnamed_file(wav()) as recording:
        task = asyncio.create_task(path.summarize(SummaryRequest("one", recording), lambda _: None))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (decoder.running, decoder.cancelled) == (0, 1)


class UnsureDetector(SpeechDetector):
    """Hears speech in the first and the last ten seconds of a recording, and perhaps between them."""

    def __init__(self, *undecided: tuple[float, float]) -> None:
        super().__init__()
        self.undecided = list(undecided)

    async def detect(self, samples: Samples, requester: Requester = ANONYMOUS) -> SpeechDetection:
        seconds = len(samples) / 16_000
        return SpeechDetection([(0, 10), (seconds - 10, seconds)], uncertain=self.undecided)


@pytest.mark.parametrize(
    ("seconds", "undecided", "complete"),
    [
        (50, [(20, 30)], True),  # read in one pass, and so is what is between
        (200, [], True),
        (200, [(20, 30)], False),
        (200, [(5, 8), (192, 195)], True),  # in the windows
    ],
)
async def test_a_summary_without_what_may_be_speech_is_not_complete(
    seconds: float, undecided: list[tuple[float, float]], complete: bool
) -> None:
    engine = ScriptedEngine()
    await engine.start()
    path = Summarizer(settings_for(), MODEL, engine, WaveDecoder(), detector=UnsureDetector(*undecided))
    summary = await path.summarize(SummaryRequest("one", create_unnamed_file(wav(seconds))), lambda _: None)
    assert summary.complete is complete
    assert any("20.0 to 30.0 s" in warning for warning in summary.warnings) is not complete


class BrokenEngine(ScriptedEngine):
    """Ends without `Finished`, or with an abort nobody asked for."""

    abort = False

    async def _play(self, request: GenerationRequest):  # type: ignore[no-untyped-def, override]
        events: list[EngineEvent] = [GenerationFinished("abort", 1, 0)] if self.abort else []
        for event in events:
            yield event


@pytest.mark.parametrize("abort", [True, False])
async def test_an_engine_that_gives_up_is_not_taken_for_an_empty_summary(abort: bool) -> None:
    engine = BrokenEngine()
    engine.abort = abort
    path = await summarizer(engine)
    with pytest.raises(Unavailable) as caught:
        await path.summarize(SummaryRequest("one", create_unnamed_file(wav())), lambda _: None)
    assert caught.value.code == "engine_aborted"
    assert engine.running_requests == 0
    assert path.generator.limiter.available


async def test_a_time_out_inside_the_engine_is_not_called_the_deadline() -> None:
    path = await summarizer(ScriptedEngine(error=TimeoutError("the engine's own")))
    with pytest.raises(TimeoutError, match="the engine's own"):
        await path.summarize(SummaryRequest("one", create_unnamed_file(wav())), lambda _: None)


async def test_more_tokens_than_the_setting_are_refused_with_it() -> None:
    with pytest.raises(InvalidRequest, match="SPEECHSUM_LIMITS__MAX_TOKENS"):
        (await summarizer()).check_max_tokens(4097)


def test_every_limit_names_a_setting_that_exists() -> None:
    from dataclasses import fields

    from app.settings import setting_fields as settings_fields
    from app.settings import setting_name

    known = {setting_name(*path) for path, _ in settings_fields()}
    limits = decode_limits(settings_for(limits={"decode_seconds": 1}))
    for field in fields(limits):
        if field.name != "setting_names":
            assert limits.setting_name(field.name).split()[-1] in known, field.name
