"""The voices for training audio, and the split of each.

Splits have no speaker in common. The accents of espeak-ng share the timbre of their variant, so variants are split and
not accents; flite's `kal` and `kal16` are the same man at two sampling rates. Knows nothing about how a voice speaks.
"""

import argparse
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
Engine = Literal["kokoro", "flite", "espeak"]
ENGINES: tuple[Engine, ...] = ("kokoro", "flite", "espeak")

# Kokoro voices that are used in the acceptance set only: its scores would be too good if training had used them.
RESERVED_VOICES = ("bf_emma", "bf_lily", "bm_lewis", "bm_daniel", "am_puck", "am_fenrir", "af_nova", "af_sarah")

_KOKORO: dict[Split, tuple[str, ...]] = {
    "train": (
        "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "am_adam", "am_echo",
        "am_eric", "am_michael", "am_santa", "bf_alice", "bm_george",
    ),
    "dev": ("af_river", "am_liam", "bm_fable"),
    "test": ("af_sky", "am_onyx", "bf_isabella"),
}  # fmt: skip
# Flite has only four speakers, so test has none of them.
_FLITE: dict[Split, tuple[str, ...]] = {"train": ("slt", "rms", "kal16", "kal"), "dev": ("awb",), "test": ()}
_ESPEAK_ACCENTS = (
    "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc",
)  # fmt: skip
_ESPEAK_VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "adam", "Alicia", "Andy", "Annie", "antonio", "belinda", "benjamin", "caleb", "david",
        "Denis", "ed", "edward", "f1", "f2", "f3", "Gene", "Henrique", "Hugo", "iven", "Jacky", "Lee", "linda", "m1",
        "m2", "m3", "m4", "m7", "Marco", "max", "Michael", "Mike", "pablo", "paul", "pedro", "quincy", "rob",
        "robert", "sandro", "shelby", "steph", "travis", "zac",
    ),
    "dev": ("Alex", "anika", "f4", "m5", "Diogo", "steph2"),
    "test": ("aunty", "f5", "john", "m6", "m8", "victor", "marcelo"),
}  # fmt: skip


class ReservedVoice(ValueError):
    """The requested voice is reserved for acceptance."""


@dataclass(frozen=True)
class Voice:
    """A voice. name: its name in the engine; for espeak-ng `accent+variant`."""

    engine: Engine
    name: str
    split: Split

    @property
    def id(self) -> str:
        """The engine and the name, such as `flite:slt`."""
        return f"{self.engine}:{self.name}"

    @property
    def speaker(self) -> str:
        """The speaker, which several voices may share: `flite:kal`, `espeak:f3`, `kokoro:af_heart`."""
        name = {"espeak": self.name.split("+")[-1], "flite": self.name.removesuffix("16")}.get(self.engine, self.name)
        return f"{self.engine}:{name}"


def voices(engine: Engine, split: Split) -> tuple[Voice, ...]:
    """Return the voices of an engine in a split. Flite has none in test."""
    if engine == "kokoro":
        names = _KOKORO[split]
    elif engine == "flite":
        names = _FLITE[split]
    else:
        names = tuple(f"{accent}+{variant}" for variant in _ESPEAK_VARIANTS[split] for accent in _ESPEAK_ACCENTS)
    return tuple(Voice(engine, name, split) for name in names)


def find_voice(voice_id: str) -> Voice:
    """Return the voice with this id, such as `flite:slt`. Raises ReservedVoice for an acceptance voice, and KeyError if
    there is no such voice.
    """
    if voice_id.split(":")[-1] in RESERVED_VOICES:
        raise ReservedVoice(f"{voice_id} is reserved for acceptance: training and development audio must not use it")
    for split in _KOKORO:
        for engine in ENGINES:
            for voice in voices(engine, split):
                if voice.id == voice_id:
                    return voice
    raise KeyError(f"no voice {voice_id}: engines are {', '.join(ENGINES)}")


def engine_shares(text: str) -> tuple[tuple[Engine, float], ...]:
    """Parse engines and their shares from a command line, such as `flite:0.5,espeak:0.5`. Raises ArgumentTypeError for
    an unknown engine.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition(":")
        if name not in ENGINES:
            raise argparse.ArgumentTypeError(f"there is no engine {name!r}; there are {', '.join(ENGINES)}")
        shares[name] = float(share or 1)
    return tuple((engine, shares[engine]) for engine in ENGINES if engine in shares)
