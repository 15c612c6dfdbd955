"""What the kernel says about a TCP connection."""

from __future__ import annotations

import socket
import struct
import sys

from twisted.trial.unittest import SynchronousTestCase

from kwic.wire.tcp_info import TCP_INFO_BYTES, TcpInfo, parse_tcp_info


def packed(
    *,
    segment_bytes: int = 1000,
    window: int = 100,
    round_trip_us: int = 50_000,
    pace: int = 0,
    unsent: int = 0,
) -> bytes:
    """A `struct tcp_info` up to `tcpi_notsent_bytes`, its fields by their names in <linux/tcp.h>."""
    words = [0] * 24
    words[2] = segment_bytes  # snd_mss
    words[15] = round_trip_us  # rtt
    words[18] = window  # snd_cwnd
    return struct.pack("=8B24I4Q3I", *([0] * 8), *words, pace, 0, 0, 0, 0, 0, unsent)


def parsed(**fields: int) -> TcpInfo:
    found = parse_tcp_info(packed(**fields))
    assert found is not None
    return found


class TcpInfoTests(SynchronousTestCase):
    """Fields and what follows from them."""

    def test_fields(self) -> None:
        """Each is where the kernel puts it."""
        self.assertEqual(len(packed()), TCP_INFO_BYTES)
        self.assertEqual(
            parsed(segment_bytes=1448, window=10, round_trip_us=40_000, pace=99, unsent=7),
            TcpInfo(
                segment_bytes=1448, window_segments=10, round_trip_s=0.04, pacing_rate=99, unsent_bytes=7
            ),
        )

    def test_rate(self) -> None:
        """A window each round trip, and no faster than the pace."""
        self.assertAlmostEqual(parsed().rate, 2_000_000.0)
        self.assertEqual(parsed(pace=1_500_000).rate, 1_500_000)
        self.assertAlmostEqual(parsed(pace=9_000_000).rate, 2_000_000.0)

    def test_no_pace(self) -> None:
        """None, or one without a limit, says nothing."""
        self.assertEqual([parsed(pace=pace).pacing_rate for pace in (0, 2**64 - 1)], [None, None])

    def test_no_round_trip(self) -> None:
        """A connection that has not been answered yet has no rate."""
        self.assertIsNone(parsed(round_trip_us=0).rate)

    def test_short(self) -> None:
        """An older kernel that has not all of it is as good as none."""
        self.assertIsNone(parse_tcp_info(packed()[:-1]))

    def test_this_kernel(self) -> None:
        """A connection over loopback has segments, a window, and nothing unsent."""
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as one,
        ):
            info = parse_tcp_info(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))
        assert info is not None
        self.assertTrue(500 < info.segment_bytes <= 65_536, info)
        self.assertTrue(1 <= info.window_segments <= 1000, info)
        self.assertTrue(0 < info.round_trip_s < 1, info)
        self.assertEqual(info.unsent_bytes, 0)

    if not sys.platform.startswith("linux"):
        test_this_kernel.skip = "struct tcp_info is Linux's"  # type: ignore[attr-defined]
