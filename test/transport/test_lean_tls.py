"""The frames of a tunnel on TLS of ours: large messages are neither joined nor copied more than needed, and arrive all the same."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from kwic.transport import lean_channel
from kwic.transport.lean_channel import APART_BYTES, LeanChannel
from test.transport.memory_network import MemoryNetwork
from test.transport.test_whole_tls import Talker, join, with_handles, with_public_functions


class Ends:
    """Takes what a channel delivers."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.failed: list[Any] = []

    def message_received(self, data: Any, is_text: bool) -> None:
        self.data += data

    def close_received(self, code: int, reason: str) -> None:
        self.failed.append(code)

    channel_failed = close_received


class LeanTlsTests(SynchronousTestCase):
    """A client's channel opposite a server's."""

    kinds = (with_handles, with_handles)

    def setUp(self) -> None:
        self.network = MemoryNetwork(read_bytes=1 << 20)
        self.talkers = Talker(), Talker()
        client, server = self.kinds
        join(self.network, (client, self.talkers[0]), (server, self.talkers[1]))
        self.settle()
        self.ends, self.channels = (Ends(), Ends()), []
        for talker, end, is_client in zip(self.talkers, self.ends, (True, False), strict=True):
            channel = LeanChannel(talker.transport, client=is_client)
            channel.user = end
            talker.takes_views = True
            talker._on_data = lambda protocol, data, channel=channel: channel.receive(data)
            self.channels.append(channel)

    def settle(self) -> None:
        self.network.settle()
        self.network.advance(0)
        self.network.settle()

    def check(self, *sizes: int) -> None:
        """Pieces of these sizes arrive as one message, in both directions; whoever gave them keeps them unchanged."""
        pattern = (bytes(range(251)) * 3000)[:700_000]
        pieces, at = [], 0
        for number, size in enumerate(sizes):
            kind = (bytes, bytearray, memoryview)[number % 3]
            pieces.append(kind(pattern[at : at + size]))
            at += size
        for sender, end in ((self.channels[0], self.ends[1]), (self.channels[1], self.ends[0])):
            end.data.clear()
            sender.send_pieces(pieces)
            self.settle()
            self.assertEqual(bytes(end.data), pattern[:at], sizes)
            self.assertEqual(b"".join(pieces), pattern[:at])
            self.assertEqual(end.failed, [])

    def test_any_pieces(self) -> None:
        """Small ones, large ones, and both in any order."""
        edge = APART_BYTES
        for sizes in (
            (12,),
            (12, 64),
            (12, edge - 12),
            (12, edge - 13),
            (12, 262_144),
            (12, 65_536, 12, 5, 12, 65_536, 12, 1),
            (262_144,),
            (edge // 2, edge // 2 - 1, edge // 2),
            (3, 300_000, 200_000),
        ):
            self.check(*sizes)

    def test_without_native_masking(self) -> None:
        """The same where masking cannot be done where the bytes are."""
        with mock.patch("kwic.transport.masking.NATIVE", None):
            self.check(12, 100_000, 12, 70)

    def test_few_pieces(self) -> None:
        """Small pieces are put together, large ones are left as they are."""
        large = bytes(APART_BYTES)
        found = list(lean_channel._few([b"a", b"b", large, b"c", large, large, b"d", b"e"]))
        self.assertEqual([len(one) for one in found], [2, APART_BYTES, 1, APART_BYTES, APART_BYTES, 2])
        self.assertIs(found[1], large)

    def test_after_the_end(self) -> None:
        """A connection that is being closed takes nothing more."""
        self.talkers[1].transport.loseConnection()
        self.channels[1].send_pieces([bytes(100_000)])
        self.settle()
        self.assertEqual(bytes(self.ends[0].data), b"")


class PublicFunctionsTests(LeanTlsTests):
    """The same through pyOpenSSL's public functions."""

    kinds = (with_public_functions, with_public_functions)
