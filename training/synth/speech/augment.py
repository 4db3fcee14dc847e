"""Augment clean speech with the defects of real recordings: rooms, noise, telephones, microphones, codecs.

All random choices come from the given generator. Input and output are float32 mono samples at 16 kHz in [-1, 1]. Knows
nothing about voices or files. scipy.signal is imported late, because it takes a second and most commands change no
sound.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

RATE = 16_000
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class AugmentConfig:
    """The probability and the range of each effect. The defaults leave about a fifth of the clips clean.

    snr_db: the level of the speech above the noise, in dB. rt60_s: the seconds in which the echo of a room falls by 60
    dB. speed_range: factors of resampling, which change the pitch too. gain_db: the change of the level in dB.
    """

    noise: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)
    reverb: float = 0.3
    rt60_s: tuple[float, float] = (0.1, 0.7)
    speed: float = 0.4
    speed_range: tuple[float, float] = (0.9, 1.1)
    telephone: float = 0.15
    clip: float = 0.08
    codec: float = 0.1
    gain_db: tuple[float, float] = (-15.0, 3.0)

    def scale_probabilities(self, share: float) -> "AugmentConfig":
        """Return a configuration with every probability multiplied by `share`."""
        rates = {k: getattr(self, k) * share for k in ("noise", "reverb", "speed", "telephone", "clip", "codec")}
        return AugmentConfig(**{**self.__dict__, **rates})


def augment(
    samples: Samples, rng: np.random.Generator, settings: AugmentConfig | None = None, babble: Sequence[Samples] = ()
) -> tuple[Samples, list[str]]:
    """Apply random effects to a clip. Return the clip and the effects in their order, such as `["reverb 0.31s", "babble
    12dB"]`.

    babble: other clips, of which some are mixed if the noise is babble; without any, the noise is never babble.
    """
    settings = settings or AugmentConfig()
    done: list[str] = []
    if rng.random() < settings.speed:
        factor = rng.uniform(*settings.speed_range)
        samples = speed(samples, factor)
        done.append(f"speed {factor:.2f}")
    if rng.random() < settings.reverb:
        rt60 = rng.uniform(*settings.rt60_s)
        samples = reverb(samples, rt60, rng)
        done.append(f"reverb {rt60:.2f}s")
    if rng.random() < settings.noise:
        kind = str(rng.choice(["white", "pink", "hum", *(["babble"] if babble else [])]))
        snr = rng.uniform(*settings.snr_db)
        samples = add_noise(samples, noise(kind, len(samples), rng, babble), snr)
        done.append(f"{kind} {snr:.0f}dB")
    if rng.random() < settings.clip:
        share = rng.uniform(0.3, 0.8)
        samples = clip(samples, share)
        done.append(f"clip {share:.2f}")
    if rng.random() < settings.telephone:
        samples = telephone(samples)
        done.append("telephone")
    gain = rng.uniform(*settings.gain_db)
    samples = _limit_peak(_limit_peak(samples) * np.float32(10 ** (gain / 20)))
    if rng.random() < settings.codec:
        kind = str(rng.choice(["MP3", "OGG"]))
        samples = codec(samples, kind)
        done.append(kind.lower().replace("ogg", "opus"))
    return _limit_peak(samples), done


def speed(samples: Samples, factor: float) -> Samples:
    """Return the clip faster (factor above 1) or slower, by resampling. The length is divided by the factor."""
    return np.asarray(soxr.resample(samples, RATE * factor, RATE), dtype=np.float32)


def reverb(samples: Samples, rt60_s: float, rng: np.random.Generator) -> Samples:
    """Return the clip in a room, whose echo is noise that decays by 60 dB in `rt60_s` seconds. Length and level
    stay.
    """
    from scipy.signal import fftconvolve

    length = max(2, int(rt60_s * RATE))
    time = np.arange(length) / RATE
    tail = rng.standard_normal(length) * np.exp(-6.908 * time / rt60_s)
    tail[: int(0.002 * RATE)] = 0
    wet = rng.uniform(0.2, 0.9)
    response = tail * (wet / (np.sqrt(np.sum(tail**2)) + 1e-12))
    response[0] += 1.0
    echoed = fftconvolve(samples, response)[: len(samples)]
    return (echoed * (_rms(samples) / (_rms(echoed) + 1e-12))).astype(np.float32)


def noise(kind: str, length: int, rng: np.random.Generator, babble: Sequence[Samples] = ()) -> Samples:
    """Return `length` samples of noise: "white", "pink" (1/f power), "hum" (mains hum with harmonics and faint hiss) or
    "babble". Raises ValueError for another kind.
    """
    if kind == "white":
        return rng.standard_normal(length).astype(np.float32)
    if kind == "pink":
        spectrum = np.fft.rfft(rng.standard_normal(length))
        return np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1), length).astype(np.float32)
    if kind == "hum":
        mains, time = rng.choice([50.0, 60.0]), np.arange(length) / RATE
        tones = sum(
            rng.uniform(0.2, 1) / n * np.sin(2 * np.pi * (n * mains * time + rng.random())) for n in range(1, 8)
        )
        return np.asarray(tones + 0.1 * rng.standard_normal(length), dtype=np.float32)
    if kind == "babble":
        talkers = rng.choice(len(babble), size=min(len(babble), int(rng.integers(3, 7))), replace=False)
        mixed = np.zeros(length, dtype=np.float32)
        for talker in talkers:
            other = babble[talker] / np.float32(_rms(babble[talker]) + 1e-9)
            mixed += np.resize(np.roll(other, int(rng.integers(len(other)))), length)
        return mixed
    raise ValueError(f"there is no noise of the kind {kind!r}")


def add_noise(samples: Samples, added: Samples, snr_db: float) -> Samples:
    """Add noise of the same length, so that the speech is `snr_db` dB louder than the noise, over the whole clip."""
    scale = _rms(samples) / (_rms(added) + 1e-12) / 10 ** (snr_db / 20)
    return (samples + added * scale).astype(np.float32)


def telephone(samples: Samples) -> Samples:
    """Return the clip over a telephone line: 8 kHz, 300 to 3400 Hz, 8-bit mu-law (ITU-T G.711), and back at 16 kHz."""
    from scipy.signal import butter, sosfilt

    narrow = np.asarray(soxr.resample(_limit_peak(samples), RATE, 8_000))
    narrow = sosfilt(butter(4, (300, 3400), "bandpass", fs=8_000, output="sos"), narrow).clip(-1, 1)
    curved = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    coarse = np.round(curved * 127) / 127
    wide = np.sign(coarse) * np.expm1(np.abs(coarse) * np.log(256)) / 255
    return np.resize(np.asarray(soxr.resample(wide, 8_000, RATE), dtype=np.float32), len(samples))


def clip(samples: Samples, share: float) -> Samples:
    """Return the clip of an overdriven microphone: everything above `share` times the peak is cut."""
    limit = share * float(np.abs(samples).max(initial=0.0))
    return samples.clip(-limit, limit)


def codec(samples: Samples, kind: str) -> Samples:
    """Encode and decode the clip with a lossy codec at a low bit rate: "MP3" or "OGG" (Opus)."""
    buffer = io.BytesIO()
    subtype = {"MP3": "MPEG_LAYER_III", "OGG": "OPUS"}[kind]
    sf.write(buffer, samples, RATE, format=kind, subtype=subtype, compression_level=0.95)
    buffer.seek(0)
    decoded = sf.read(buffer, dtype="float32")[0]
    return np.pad(decoded, (0, max(0, len(samples) - len(decoded))))[: len(samples)]


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _limit_peak(samples: Samples) -> Samples:
    """Scale the clip down if it leaves [-1, 1], so that only `clip` ever clips it."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples / np.float32(peak) if peak > 1 else samples).astype(np.float32)
