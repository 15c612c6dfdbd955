"""What the kernel knows about a TCP connection: `struct tcp_info` of <linux/tcp.h>, as far as it is of use here."""

from __future__ import annotations

import struct
from dataclasses import dataclass

TCP_INFO_BYTES = 148
"""Up to and with `tcpi_notsent_bytes`: Linux 4.6 and later."""

_USED = struct.Struct("=16xI48xI8xI20xQ32xI")
_UNPACED = 2**64 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpInfo:
    """
    One look at a connection.

    :param segment_bytes: what a segment carries at most.
    :param window_segments: how many may be on their way (the congestion window).
    :param round_trip_s: the smoothed round trip; 0 while it is unknown.
    :param pacing_rate: how fast the kernel lets them go, bytes a second; None while it does not say.
    :param unsent_bytes: what waits in the kernel and has not been sent yet.
    """

    segment_bytes: int
    window_segments: int
    round_trip_s: float
    pacing_rate: int | None
    unsent_bytes: int

    @property
    def rate(self) -> float | None:
        """How much the path carries, as far as the kernel dares to send: bytes a second; None while there is no round trip."""
        if not self.round_trip_s:
            return None
        # Some congestion controls have a window of twice what the path holds and go by the pace; others have no pace worth the name.
        rate = self.window_segments * self.segment_bytes / self.round_trip_s
        return rate if self.pacing_rate is None else min(rate, self.pacing_rate)


def parse_tcp_info(data: bytes) -> TcpInfo | None:
    """
    Read what the kernel filled in.

    :param data: what `getsockopt` gave.
    :returns: None when it is too short to have all of it.
    """
    if len(data) < TCP_INFO_BYTES:
        return None
    segment_bytes, round_trip_us, window_segments, pacing_rate, unsent_bytes = _USED.unpack_from(data)
    return TcpInfo(
        segment_bytes=segment_bytes,
        window_segments=window_segments,
        round_trip_s=round_trip_us / 1e6,
        pacing_rate=None if pacing_rate in (0, _UNPACED) else pacing_rate,
        unsent_bytes=unsent_bytes,
    )
