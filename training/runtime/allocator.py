"""Freed memory is kept for what comes next, on a CPU, where `--keep-memory` asks for it.

glibc asks the kernel for every large tensor anew and gives it back when it is freed, and the kernel clears each page
at its first touch; a training step allocates the sizes of the step before. With all of it kept a step of `sft` (four
clips, bfloat16, two cores) took 4.1 s; with only what is smaller than 32 MiB, 7.3 s. But batches of many lengths leave
holes, and what is kept grows to several times what is needed, within a few steps: on a machine of 24 GB a run of `dpo`
was killed for it that gave back at three quarters. So it is a choice, and half of the memory is the limit. Knows
nothing about tensors.
"""

import ctypes
import platform

import psutil

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Make malloc keep what is freed until `release_free_memory`; False where it is not glibc's, which is left as it
    is.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0)) and bool(libc.mallopt(M_TRIM_THRESHOLD, -1))


def memory_is_short() -> bool:
    """Whether less than half of the machine's memory is to be had."""
    memory = psutil.virtual_memory()
    return bool(memory.available < memory.total / 2)


def release_free_memory() -> None:
    """Let the kernel have what is free, between what is used too. Does nothing where malloc is not glibc's."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
