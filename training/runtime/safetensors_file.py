"""Tell from a safetensors file's header and length whether the file is whole.

It needs the standard library alone, so that a command can look at its files before anything heavy is imported.
"""

import json
import struct
from pathlib import Path

from training.runtime.path_problems import error_text

LARGEST_HEADER = 100_000_000  # bytes; safetensors itself refuses a larger one


def safetensors_problem(path: Path) -> str | None:
    """Return what is wrong with a safetensors file, as far as its header and its length tell, or None.

    Format: 8 bytes (little-endian) with the header's length, the header as JSON with each tensor's `data_offsets`, then
    the data. A file that was cut while it was written is shorter than its offsets say.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else size
            if length > min(size - 8, LARGEST_HEADER):
                return "is no whole safetensors file"
            header = json.loads(file.read(length))
        ends = [of["data_offsets"][1] for name, of in header.items() if name != "__metadata__"]
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        return f"is no safetensors file: {error_text(error)}"
    if 8 + length + max(ends, default=0) != size:
        return f"is no whole safetensors file: it has {size:,} of {8 + length + max(ends, default=0):,} bytes"
    return None
