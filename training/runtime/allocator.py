"""Freed memory is kept for the next training step, on a CPU, if `--keep-freed-memory` asks for it.

glibc requests every large tensor from the kernel and returns it when it is freed, and the kernel clears each page at
its first use, while a training step allocates the same sizes as the step before. When all memory was kept, a step of
`sft` (four clips, bfloat16, two cores) took 4.1 s; when only blocks below 32 MiB were kept, 7.3 s. But batches of many
lengths leave gaps, and the kept memory grows within a few steps to several times what is needed. On a machine of 24 GB
a run of `dpo` that returned memory at three quarters was killed for it. So it is an option, and half of the machine's
memory is the limit. Knows nothing about tensors.
"""

import ctypes
import platform

import psutil

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Make malloc keep freed memory until `release_free_memory`. Return False, and change nothing, if malloc is not
    glibc's.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0)) and bool(libc.mallopt(M_TRIM_THRESHOLD, -1))


def memory_is_short() -> bool:
    """Return whether less than half of the machine's memory is available."""
    memory = psutil.virtual_memory()
    return bool(memory.available < memory.total / 2)


def release_free_memory() -> None:
    """Return all free memory to the kernel. Do nothing if malloc is not glibc's."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
