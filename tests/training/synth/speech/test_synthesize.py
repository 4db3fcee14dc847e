import numpy as np
import pytest

from training.synth.speech.synthesize import RATE, SpeechError, speak, synthesize, trim
from training.synth.speech.voices import Voice, find_voice

TEXT = "The pump in hall four failed again. Ring the plumber before noon."
SOME = ["flite:slt", "flite:kal", "flite:awb", "espeak:en-us+f3", "espeak:en-gb-scotland+m5"]


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("voice", SOME)
def test_speaks_a_sentence(voice: str) -> None:
    samples, rate = synthesize(TEXT, find_voice(voice))
    assert samples.dtype == np.float32
    assert rate in (8_000, 16_000, 22_050)
    assert 2.5 < len(samples) / rate < 8
    assert 0.05 < np.abs(samples).max() <= 1


@pytest.mark.parametrize("voice", ["flite:slt", "flite:kal16", "espeak:en-us+m3"])
def test_speed_changes_the_length(voice: str) -> None:
    slow, rate = synthesize(TEXT, find_voice(voice), 0.8)
    fast, _ = synthesize(TEXT, find_voice(voice), 1.2)
    assert 1.25 < len(slow) / len(fast) < 1.8
    assert rate > 0


def _pitch_hz(voice: str, factor: float) -> float:
    samples, rate = synthesize("Ah, we are away all year.", find_voice(voice), 1.0, factor)
    samples = samples[np.abs(samples) > 0][: rate * 2]
    window = int(rate * 0.04)
    found = []
    for start in range(0, len(samples) - 2 * window, window):
        frame = samples[start : start + 2 * window]
        strength = np.correlate(frame, frame, "full")[len(frame) :]
        low, high = rate // 400, rate // 60
        lag = low + int(strength[low:high].argmax())
        if strength[lag] > 0.5 * float(frame @ frame) > 0.01:
            found.append(rate / lag)
    return float(np.median(found))


@pytest.mark.parametrize("voice", ["flite:slt", "flite:kal16", "espeak:en-us+m3"])
def test_pitch_raises_the_voice(voice: str) -> None:
    assert _pitch_hz(voice, 1.2) > 1.08 * _pitch_hz(voice, 0.9)


@pytest.mark.parametrize("text", ["-v help", "Ümlaut & “quotes”; $(reboot) `x`", "It's 5 o'clock"])
@pytest.mark.parametrize("voice", ["flite:rms", "espeak:en-us+f1"])
def test_text_is_never_taken_for_a_command(text: str, voice: str) -> None:
    samples, rate = synthesize(text, find_voice(voice))
    assert 0.2 < len(samples) / rate < 6


def test_a_long_text_is_spoken_whole() -> None:
    once, rate = synthesize(TEXT, find_voice("espeak:en-us+f3"))
    many, _ = synthesize(" ".join([TEXT] * 60), find_voice("espeak:en-us+f3"))
    assert len(many) > 50 * len(once)
    assert rate == 22_050


@pytest.mark.parametrize("voice", ["flite:slt", "espeak:en-us+f3"])
def test_nothing_to_say_is_an_error(voice: str) -> None:
    with pytest.raises(SpeechError):
        synthesize("   ", find_voice(voice))


def test_an_unknown_voice_of_an_engine_is_an_error() -> None:
    with pytest.raises(SpeechError, match="espeak-ng failed"):
        synthesize(TEXT, Voice("espeak", "nowhere", "train"))


def test_a_conversation_has_every_turn_and_pauses_between() -> None:
    voices = [find_voice("espeak:en-us+f3"), find_voice("flite:rms")]
    turns = [(0, "Is the ladder in the shed?"), (1, "No, Jonas took it on Saturday."), (0, "Then ask him.")]
    whole = speak(turns, voices, _rng(), pause_s=(0.5, 0.5))
    alone = sum(len(speak([turn], voices, _rng(), pause_s=(0.5, 0.5))) for turn in turns)
    assert whole.dtype == np.float32
    assert 0.9 * alone < len(whole) + 2 * 0.4 * RATE < 1.1 * alone + 0.8 * RATE
    assert 0.3 < np.abs(whole).max() <= 0.9 + 1e-6
    quiet = np.abs(whole) < 1e-4
    gaps = np.diff(np.flatnonzero(np.concatenate([[True], ~quiet, [True]])))
    assert (gaps > 0.45 * RATE).sum() >= 3


def test_a_seed_repeats_the_speech() -> None:
    voices = [find_voice("espeak:en-us+f3")]
    one, two = (speak([(0, TEXT)], voices, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)
    assert len(one) != len(speak([(0, TEXT)], voices, np.random.default_rng(6)))


def test_a_speaker_without_a_voice_is_an_error() -> None:
    with pytest.raises(IndexError):
        speak([(1, TEXT)], [find_voice("flite:slt")], _rng())


def test_trim_cuts_silence_but_no_speech() -> None:
    tone = np.sin(np.arange(RATE, dtype=np.float32)).astype(np.float32)
    padded = np.concatenate([np.zeros(RATE, np.float32), tone, np.zeros(2 * RATE, np.float32)])
    assert len(tone) <= len(trim(padded)) < 1.1 * len(tone)
    assert len(trim(np.zeros(10, np.float32))) == 10
