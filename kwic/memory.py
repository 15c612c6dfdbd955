"""
How the process treats its memory once it runs: for connections that live long, and buffers that come and go.

Python's collector looks at every young object again and again although almost none of ours are in cycles; the C library gives large buffers back to the kernel each
time and gets them back page by page. Both cost more than the work between them (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import gc

#: Young objects before the collector looks, then how many times each generation is passed over (gc.set_threshold).
GC_THRESHOLDS = (50_000, 20, 20)
#: Buffers up to this size are taken from the heap and stay there; above, they are mapped and unmapped each time.
HEAP_MAXIMUM_BYTES = 4 * 1024 * 1024
#: So much free memory at the end of the heap is kept instead of given back.
KEPT_BYTES = 32 * 1024 * 1024

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def settle() -> None:
    """Everything that stays for the life of the process is there: look at it no more, give back what the start needed, and keep the buffers."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    give_back()
    keep_buffers()


def give_back() -> bool:
    """
    Give the kernel what is free between the objects that stay, once: the file was parsed there, and modules were compiled.

    :returns: whether the C library could be told (glibc can, malloc_trim(3)).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))


def keep_buffers() -> bool:
    """:returns: whether the C library could be told (glibc can, mallopt(3))."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    told = [mallopt(_M_MMAP_THRESHOLD, HEAP_MAXIMUM_BYTES), mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)]
    return all(told)
