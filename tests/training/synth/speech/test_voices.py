import re
import subprocess
from itertools import combinations
from typing import get_args

import pytest

from training.synth.speech.synthesize import synthesize
from training.synth.speech.voices import ENGINES, RESERVED_VOICES, ReservedVoice, Split, Voice, find_voice, voices

SPLITS = get_args(Split)


def test_splits_share_no_speaker() -> None:
    speakers = {s: {v.speaker.lower() for engine in ENGINES for v in voices(engine, s)} for s in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert speakers[one]
        assert not speakers[one] & speakers[other]


def test_acceptance_voices_are_in_no_split() -> None:
    assert len(RESERVED_VOICES) == 8
    assert not {v.name for s in SPLITS for v in voices("kokoro", s)} & set(RESERVED_VOICES)
    assert sum(len(voices("kokoro", s)) for s in SPLITS) == 20


@pytest.mark.parametrize("name", RESERVED_VOICES)
def test_acceptance_voices_are_refused(name: str) -> None:
    with pytest.raises(ReservedVoice, match=name):
        find_voice(f"kokoro:{name}")
    with pytest.raises(ReservedVoice, match=name):
        synthesize("Hello.", Voice("kokoro", name, "train"))


def test_every_voice_is_known_to_its_engine() -> None:
    """espeak-ng speaks an unknown variant, and flite an unknown voice, with its default and says nothing."""

    def said(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    variants = set(re.findall(r"!v/(\S+)", said("espeak-ng", "--voices=variant")))
    accents = {line.split()[1].lower() for line in said("espeak-ng", "--voices=en").splitlines()}
    for split in SPLITS:
        for voice in voices("espeak", split):
            accent, variant = voice.name.split("+")
            assert accent in accents
            assert variant in variants
        assert {voice.name for voice in voices("flite", split)} <= set(said("flite", "-lv").split())


def test_an_id_finds_its_voice() -> None:
    assert find_voice("flite:slt") == Voice("flite", "slt", "train")
    assert find_voice("espeak:en-gb-scotland+f4").split == "dev"
    with pytest.raises(KeyError, match="flite:nobody"):
        find_voice("flite:nobody")


def test_one_man_at_two_sampling_rates_is_one_speaker() -> None:
    assert find_voice("flite:kal").speaker == find_voice("flite:kal16").speaker
