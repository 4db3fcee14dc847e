"""Frames are joined into blocks, and the sink gets the same samples, format by format, as frame by frame."""

from collections.abc import Sequence

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from app.core.audio.limits import DecodeLimits
from app.core.audio.readers.frame_blocks import FrameBlocks
from app.core.audio.sample_sink import SampleSink
from app.core.errors import TooLarge, Unprocessable

RNG = np.random.default_rng(1)
SCALES = {"u8": 128, "s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}


class Sink(SampleSink):
    """Keeps the blocks that it is given."""

    def __init__(self) -> None:
        super().__init__(DecodeLimits())
        self.blocks: list[tuple[NDArray[np.float32], int]] = []

    def write(self, block: NDArray[np.float32], rate: int) -> None:
        super().write(block, rate)
        self.blocks.append((block.copy(), rate))


def frame(samples: NDArray[np.floating], rate: int = 16_000, format_name: str = "fltp") -> AudioFrame:
    """Return samples (n, channels) in [-1, 1) as a frame."""
    kind = format_name.removesuffix("p")
    scaled = samples * SCALES[kind] + (128 if kind == "u8" else 0)
    dtype = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}[kind]
    values = np.ascontiguousarray(scaled.astype(dtype).T if format_name.endswith("p") else scaled.astype(dtype))
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    shaped = values if format_name.endswith("p") else values.reshape(1, -1)
    built = AudioFrame.from_ndarray(shaped, format=format_name, layout=layout)
    built.sample_rate = rate
    return built


def sounds(count: int, channels: int) -> Sequence[NDArray[np.float64]]:
    return [np.round(RNG.uniform(-0.9, 0.9, (int(RNG.integers(1, 3000)), channels)) * 64) / 64 for _ in range(count)]


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("name", [kind + planar for kind in SCALES for planar in ("", "p")])
def test_joined_frames_are_the_samples(name: str, channels: int) -> None:
    sink, pieces = Sink(), sounds(60, channels)
    blocks = FrameBlocks(sink)
    for number, piece in enumerate(pieces):
        own = blocks.add(frame(piece, format_name=name))
        assert own.shape == piece.T.shape
        assert blocks.seconds == pytest.approx(sum(len(one) for one in pieces[: number + 1]) / 16_000)
    blocks.flush()
    assert len(sink.blocks) < len(pieces)
    np.testing.assert_array_equal(np.concatenate([block for block, _ in sink.blocks]), np.concatenate(pieces))


def test_another_rate_or_number_of_channels_begins_a_block() -> None:
    sink = Sink()
    blocks = FrameBlocks(sink)
    (mono, more), (stereo,) = sounds(2, 1), sounds(1, 2)
    for piece, rate, name in (
        (mono, 16_000, "flt"),
        (more, 8_000, "flt"),
        (stereo, 8_000, "flt"),
        (mono, 8_000, "s16"),
    ):
        blocks.add(frame(piece, rate, name))
    blocks.flush()
    assert [rate for _, rate in sink.blocks] == [16_000, 8_000, 8_000, 8_000]
    for (block, _), piece in zip(sink.blocks, (mono, more, stereo, mono), strict=True):
        np.testing.assert_array_equal(block, piece)


def test_silence_is_put_where_it_belongs() -> None:
    sink = Sink()
    blocks = FrameBlocks(sink)
    sound = np.full((1600, 1), 0.5)
    blocks.add(frame(sound))
    blocks.add_silence(0.1)
    blocks.add(frame(sound))
    assert blocks.seconds == pytest.approx(0.3)
    blocks.flush()
    sink.finish()
    np.testing.assert_array_equal(sink.samples(), np.repeat(np.float32([0.5, 0, 0.5]), 1600))


def test_limits_hold_for_joined_frames() -> None:
    sink = SampleSink(DecodeLimits(max_seconds=1.0))
    blocks = FrameBlocks(sink)
    for _ in range(11):  # less than a block
        blocks.add(frame(np.zeros((1600, 1))))
    with pytest.raises(TooLarge, match=r"goes on after 1\.1 s"):
        blocks.flush()
    rest = FrameBlocks(SampleSink(DecodeLimits()))
    rest.add(frame(np.full((10, 1), np.nan)))
    with pytest.raises(Unprocessable, match="not finite"):
        rest.flush()


def test_a_type_that_cannot_be_converted_is_refused() -> None:
    blocks = FrameBlocks(SampleSink(DecodeLimits()))
    with pytest.raises(Unprocessable, match="s64"):
        blocks.add(av.AudioFrame(format="s64", layout="mono", samples=16))
