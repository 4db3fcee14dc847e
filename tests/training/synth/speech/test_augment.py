from itertools import pairwise

import numpy as np
import pytest

from training.synth.speech import augment as a
from training.synth.speech.augment import RATE, AugmentConfig, Samples, augment

ALWAYS = AugmentConfig(noise=1, reverb=1, speed=1, telephone=1, clip=1, codec=1)


def _tone(hz: float = 440.0, seconds: float = 1.0, level: float = 0.3) -> Samples:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def _power(samples: Samples, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(spectrum[(hz >= low) & (hz < high)].sum())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["tone", "silence", "loud", "short"])
def test_every_outcome_is_sound(seed: int, kind: str) -> None:
    samples = {
        "tone": _tone(),
        "silence": np.zeros(8000, np.float32),
        "loud": _tone(level=1.0),
        "short": _tone(seconds=0.05),
    }[kind]
    out, done = augment(samples, np.random.default_rng(seed), ALWAYS, [_tone(300), _tone(700, 0.2)])
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1
    assert 0.89 < len(out) / len(samples) < 1.12
    assert len(done) == 6


def test_a_seed_repeats_and_another_differs() -> None:
    one, two, other = (augment(_tone(), np.random.default_rng(s), ALWAYS)[0] for s in (3, 3, 4))
    assert np.array_equal(one, two)
    assert len(one) != len(other) or not np.allclose(one, other)


def test_scaled_to_nothing_only_the_gain_moves() -> None:
    out, done = augment(_tone(), np.random.default_rng(0), AugmentConfig().scale_probabilities(0))
    assert done == []
    assert np.corrcoef(out, _tone())[0, 1] > 0.9999


def test_the_defaults_leave_some_clips_clean_and_use_every_disturbance() -> None:
    seen = [augment(_tone(seconds=0.1), np.random.default_rng(s), babble=[_tone(300, 0.1)])[1] for s in range(300)]
    clean = sum(not done for done in seen) / len(seen)
    assert 0.1 < clean < 0.3
    assert {entry.split()[0] for done in seen for entry in done} == {
        "speed", "reverb", "white", "pink", "hum", "babble", "clip", "telephone", "mp3", "opus",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["white", "pink", "hum", "babble"])
@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_noise_has_the_level_asked_for(kind: str, snr: float) -> None:
    clean = _tone()
    added = a.noise(kind, len(clean), np.random.default_rng(0), [_tone(200), _tone(900, 0.3)])
    mixed = a.add_noise(clean, added, snr)
    rest = mixed - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(rest**2)) == pytest.approx(snr, abs=0.2)


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    pink = a.noise("pink", 20 * RATE, np.random.default_rng(0))
    octaves = [_power(pink, low, 2 * low) for low in (125, 250, 500, 1000, 2000)]
    for lower, upper in pairwise(octaves):
        assert upper / lower == pytest.approx(1, abs=0.2)


def test_reverberation_rings_on_and_keeps_the_level() -> None:
    burst = np.zeros(RATE, np.float32)
    burst[:800] = _tone(seconds=0.05)
    echoed = a.reverb(burst, 0.5, np.random.default_rng(0))
    assert np.abs(burst[1600:]).max() == 0 < np.abs(echoed[1600:4000]).max()
    assert np.mean(echoed[1600:4000] ** 2) > 10 * np.mean(echoed[-2400:] ** 2)
    assert np.mean(echoed**2) == pytest.approx(np.mean(burst**2), rel=0.01)


def test_speed_moves_length_and_pitch() -> None:
    fast = a.speed(_tone(400), 1.1)
    assert len(fast) == pytest.approx(RATE / 1.1, abs=2)
    assert np.fft.rfft(fast).__abs__().argmax() * RATE / len(fast) == pytest.approx(440, abs=2)


def test_a_telephone_passes_its_band_only() -> None:
    noise = a.noise("white", RATE, np.random.default_rng(0)) * np.float32(0.1)
    heard = a.telephone(noise)
    assert len(heard) == len(noise)
    inside = _power(heard, 500, 3000) / _power(noise, 500, 3000)
    assert _power(heard, 0, 150) / _power(noise, 0, 150) < 0.05 * inside
    assert _power(heard, 4200, 8000) / _power(noise, 4200, 8000) < 0.05 * inside


def test_clipping_flattens_the_peaks() -> None:
    clipped = a.clip(_tone(level=0.8), 0.5)
    assert np.abs(clipped).max() == pytest.approx(0.4, abs=1e-3)
    assert (np.abs(clipped) > 0.399).mean() > 0.5


@pytest.mark.parametrize("kind", ["MP3", "OGG"])
def test_a_codec_keeps_length_and_sound(kind: str) -> None:
    heard = a.codec(_tone(seconds=2), kind)
    assert len(heard) == 2 * RATE
    assert np.abs(np.fft.rfft(heard)).argmax() / 2 == pytest.approx(440, abs=2)


def test_an_unknown_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="rain"):
        a.noise("rain", 10, np.random.default_rng(0))
