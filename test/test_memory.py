"""How the process treats its memory."""

from __future__ import annotations

import ctypes
import gc
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from kwic import memory


class SettleTests(SynchronousTestCase):
    """What is done once everything that stays is there."""

    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)

    def test_what_stays_is_looked_at_no_more(self) -> None:
        """Objects that are there are left alone by the collector, cycles that were garbage before are gone."""
        garbage: list = []
        garbage.append(garbage)
        del garbage
        memory.settle()
        self.assertGreater(gc.get_freeze_count(), 1000)
        self.assertEqual(gc.get_threshold(), memory.GC_THRESHOLDS)
        self.assertTrue(gc.isenabled())

    def test_later_cycles_are_collected(self) -> None:
        """What comes after it and is garbage is still found."""

        class Loop:
            pass

        memory.settle()
        loop = Loop()
        loop.self = loop
        number = id(loop)
        del loop
        gc.collect()
        self.assertNotIn(number, {id(one) for one in gc.get_objects() if type(one) is Loop})

    def test_buffers_are_kept(self) -> None:
        """The C library is told, where it can be; where it cannot, nothing is done."""
        self.assertIs(memory.keep_buffers(), hasattr(ctypes.CDLL(None), "mallopt"))
        with mock.patch.object(memory.ctypes, "CDLL", lambda name: object()):
            self.assertFalse(memory.keep_buffers())

    def test_free_memory_is_given_back(self) -> None:
        """What is free in the middle of the heap is the kernel's again, where the C library can do that; where it cannot, nothing is done."""
        blocks = [ctypes.create_string_buffer(8192) for _ in range(4000)]
        for block in blocks:
            block.raw = bytes(8192)
        del blocks[:-1], block
        self.assertIs(memory.give_back(), hasattr(ctypes.CDLL(None), "malloc_trim"))
        with mock.patch.object(memory.ctypes, "CDLL", lambda name: object()):
            self.assertFalse(memory.give_back())
