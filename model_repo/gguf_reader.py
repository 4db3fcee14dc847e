"""A quicker reader of GGUF files. Source: the GGUF specification."""

import struct
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType
from numpy.typing import NDArray


class QuickReader(GGUFReader):
    """gguf's reader, but quick for arrays in the metadata too.

    A vocabulary is three arrays of up to 150,000 entries each. gguf makes several views of the mapped file for each
    entry, which is three seconds for SmolLM2 and ten for Qwen2.5.
    """

    def _get_field_parts(
        self, orig_offs: int, raw_type: int
    ) -> tuple[int, list[NDArray[Any]], list[int], list[GGUFValueType]]:
        if raw_type != GGUFValueType.ARRAY or self.byte_order != "I":
            return super()._get_field_parts(orig_offs, raw_type)
        data, buffer = self.data.view(np.ndarray), self.data.data
        item, count = struct.unpack_from("=IQ", buffer, orig_offs)
        start = orig_offs + 12
        head: list[NDArray[Any]] = [np.array([item], np.uint32), np.array([count], np.uint64)]
        types = [GGUFValueType.ARRAY, GGUFValueType(item)]
        if item == GGUFValueType.STRING:
            texts: list[NDArray[Any]] = []
            offset = start
            for _ in range(count):
                (size,) = struct.unpack_from("=Q", buffer, offset)
                texts.append(data[offset + 8 : offset + 8 + size])
                offset += 8 + size
            return offset - orig_offs, [*head, *texts], list(range(2, 2 + count)), types
        if item in self.gguf_scalar_to_np:
            values = np.frombuffer(buffer, self.gguf_scalar_to_np[types[1]], count, start)
            return start + values.nbytes - orig_offs, [*head, values], [2], types
        return super()._get_field_parts(orig_offs, raw_type)
