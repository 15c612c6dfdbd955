"""Holds packets up: a netfilter queue whose verdicts are given late. ``python -m test.lab.delay QUEUE SECONDS``.

The packets stay in the kernel; only their numbers come here, and go back in the order in which they came. When this program
ends, the kernel drops what still waits, as a line that is cut would.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator

# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_queue.h>
NETLINK_NETFILTER = 12
SUBSYSTEM_QUEUE = 3 << 8
PACKET, VERDICT, CONFIG = 0, 1, 2  # NFQNL_MSG_*
ATTRIBUTE_HEADER, ATTRIBUTE_VERDICT = 1, 2  # NFQA_PACKET_HDR, NFQA_VERDICT_HDR
CFG_CMD, CFG_PARAMS, CFG_MAXLEN, CFG_MASK, CFG_FLAGS = 1, 2, 3, 4, 5
BIND, COPY_META, FLAG_GSO, ACCEPT = 1, 1, 4, 1
REQUEST, ACK = 1, 4  # NLM_F_*
NLMSG_ERROR = 2
HEADER = struct.Struct("=LHHLL")  # nlmsghdr
GENERIC = struct.Struct(">BBH")  # nfgenmsg: family, version, the queue's number
ATTRIBUTE = struct.Struct("=HH")
WAITING_MAXIMUM = 20_000  # packets; beyond it the kernel drops, as a full router would
SOCKET_BUFFER_BYTES = 8 << 20


def attribute(kind: int, value: bytes) -> bytes:
    """One netlink attribute with its padding."""
    return ATTRIBUTE.pack(4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind: int, queue: int, attributes: bytes, flags: int = REQUEST) -> bytes:
    """One netlink message to the queue subsystem."""
    body = GENERIC.pack(socket.AF_UNSPEC, 0, queue) + attributes
    return HEADER.pack(HEADER.size + len(body), SUBSYSTEM_QUEUE | kind, flags, 0, 0) + body


def packet_numbers(data: bytes) -> Iterator[int]:
    """The packet numbers in what the kernel sent.

    :raises OSError: the kernel refused something.
    """
    while len(data) >= HEADER.size:
        length, kind, _, _, _ = HEADER.unpack_from(data)
        body, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
        if kind == NLMSG_ERROR:
            (error,) = struct.unpack_from("=i", body)
            if error:
                raise OSError(-error, "netfilter queue")
        elif kind == SUBSYSTEM_QUEUE | PACKET:
            yield packet_number(body[GENERIC.size :])


def packet_number(attributes: bytes) -> int:
    """The packet number among the attributes of one packet."""
    while attributes:
        length, kind = ATTRIBUTE.unpack_from(attributes)
        if kind & 0x3FFF == ATTRIBUTE_HEADER:
            return int.from_bytes(attributes[4:8], "big")
        attributes = attributes[(length + 3) & ~3 :]
    raise ValueError("a packet without a header")


def opened(queue: int) -> socket.socket:
    """A socket bound to the queue.

    :raises OSError: the kernel has no such queue, or it is taken.
    """
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    link.setsockopt(socket.SOL_SOCKET, 33, SOCKET_BUFFER_BYTES)  # SO_RCVBUFFORCE
    for attributes in (
        attribute(CFG_CMD, struct.pack(">BxH", BIND, socket.AF_INET)),
        attribute(CFG_PARAMS, struct.pack(">LB", 0, COPY_META)),
        attribute(CFG_MAXLEN, struct.pack(">L", WAITING_MAXIMUM)),
        attribute(CFG_MASK, struct.pack(">L", FLAG_GSO)) + attribute(CFG_FLAGS, struct.pack(">L", FLAG_GSO)),
    ):
        link.send(message(CONFIG, queue, attributes, REQUEST | ACK))
        list(packet_numbers(link.recv(65536)))
    return link


def hold_up(link: socket.socket, queue: int, delay_s: float) -> None:
    """Let each packet go after its delay, for ever."""
    waiting: deque[tuple[float, int]] = deque()
    while True:
        wait_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([link], [], [], wait_s)[0]:
            due = time.monotonic() + delay_s
            waiting.extend((due, number) for number in packet_numbers(link.recv(1 << 20)))
        while waiting and waiting[0][0] <= time.monotonic():
            verdict = attribute(ATTRIBUTE_VERDICT, struct.pack(">LL", ACCEPT, waiting.popleft()[1]))
            link.send(message(VERDICT, queue, verdict))


def main() -> None:
    """Bind the queue, say so, and hold packets up until killed."""
    queue, delay_s = int(sys.argv[1]), float(sys.argv[2])
    link = opened(queue)
    print("queueing", flush=True)
    hold_up(link, queue, delay_s)


if __name__ == "__main__":
    main()
