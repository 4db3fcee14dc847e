"""Deprecated alias of `training.synth.text`, for its command (`python -m training.corpus`) and for the names that its
documentation gave. It will be removed in the next release.
"""

import warnings
from typing import Any

from training.synth import text

_NEW_NAMES = {
    "Record": "Record",
    "Split": "Split",
    "asr_noise": "add_asr_noise",
    "generate": "generate",
    "make": "make_record",
    "noisy": "mishear_record",
}


def __getattr__(name: str) -> Any:
    if name not in _NEW_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _NEW_NAMES[name]
    warnings.warn(f"{__name__}.{name} is deprecated: import {text.__name__}.{new}", DeprecationWarning, stacklevel=2)
    return getattr(text, new)
