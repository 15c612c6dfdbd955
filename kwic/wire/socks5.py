"""SOCKS 5 (RFC 1928) from both sides, without I/O: what a stream says before its bytes.

The opener sends `open_request(...)` and waits for nothing; `ReplyParser` reads the answer. The acceptor asks `whole_request` whether that came in
one piece, and sends `method_reply()` and `reply(code)` when it knows. Else it feeds `RequestParser`, and sends `method_reply()` as soon as
`RequestParser.greeted`: a peer that follows the RFC step by step waits for it before it sends the request.

Only "no authentication" is offered and taken: who the peer is was settled by TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from kwic.errors import MisuseError, ProtocolError

VERSION = 5

NO_AUTHENTICATION = 0
"""METHOD X'00' of RFC 1928, section 3."""

NO_ACCEPTABLE_METHODS = 0xFF
"""METHOD X'FF': none of those offered."""

NAME_MAXIMUM_BYTES = 255
"""The longest domain name: its length is one byte (RFC 1928, section 5)."""

REQUEST_MAXIMUM_BYTES = 3 + 4 + 1 + NAME_MAXIMUM_BYTES + 2
"""The greeting of an opener that runs ahead, and the longest request."""

_REMEMBERED = 1024
"""So many different requests are read and written without looking at their bytes again: clients ask for few names, over and over."""

Host = str | IPv4Address | IPv6Address
"""A name is sent as a domain name and never resolved here; an address as what it is."""


NOWHERE = IPv4Address(0)
"""BND.ADDR where it means nothing."""


class Command(IntEnum):
    """CMD of RFC 1928, section 4."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3


class AddressType(IntEnum):
    """ATYP of RFC 1928, section 5."""

    IPV4 = 1
    DOMAIN = 3
    IPV6 = 4


class Rep(IntEnum):
    """REP of RFC 1928, section 6."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8

    @property
    def meaning(self) -> str:
        """The reason in words, for a log line."""
        return _MEANINGS[self]


_MEANINGS = {
    Rep.SUCCEEDED: "connected",
    Rep.GENERAL_FAILURE: "general failure",
    Rep.NOT_ALLOWED: "not allowed",
    Rep.NETWORK_UNREACHABLE: "network unreachable",
    Rep.HOST_UNREACHABLE: "host unreachable",
    Rep.CONNECTION_REFUSED: "connection refused",
    Rep.TTL_EXPIRED: "timed out",
    Rep.COMMAND_NOT_SUPPORTED: "command not supported",
    Rep.ADDRESS_TYPE_NOT_SUPPORTED: "address type not supported",
}


class SocksError(ProtocolError):
    """The other end does not speak the SOCKS 5 that is expected here.

    :param message: what is wrong.
    :param answer: what the acceptor is to send before it gives up the stream; empty for the opener.
    """

    def __init__(self, message: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.answer = answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What the opener wants."""

    command: Command
    """CONNECT or BIND; UDP ASSOCIATE is never let through."""

    address_type: AddressType
    """How the host was written."""

    host: str
    """A name, or an address as text (IPv6 without brackets)."""

    port: int
    """0 where the name says all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the acceptor answers."""

    code: Rep
    """SUCCEEDED, or why not. A code that the RFC does not have is taken for a general failure."""

    host: str
    """BND.ADDR."""

    port: int
    """BND.PORT."""


def greeting() -> bytes:
    """Version and methods offered (RFC 1928, section 3)."""
    return bytes((VERSION, 1, NO_AUTHENTICATION))


def request(command: Command, host: Host, port: int = 0) -> bytes:
    """The request alone (RFC 1928, section 4).

    :param command: what for.
    :param host: a name of 1 to 255 bytes in UTF-8, or an address.
    :param port: 0 where the name says all.
    :returns: the bytes to send.
    :raises MisuseError: the name is empty or too long.
    """
    return bytes((VERSION, command, 0)) + _encode_address(host, port)


@lru_cache(maxsize=_REMEMBERED)
def open_request(command: Command, host: Host, port: int = 0) -> bytes:
    """Greeting and request in one, for an acceptor that lets us run ahead."""
    return greeting() + request(command, host, port)


def method_reply() -> bytes:
    """The method chosen: no authentication (RFC 1928, section 3)."""
    return bytes((VERSION, NO_AUTHENTICATION))


def reply(code: Rep, host: Host = NOWHERE, port: int = 0) -> bytes:
    """The reply (RFC 1928, section 6); BIND has two, the second when somebody has come.

    :param code: SUCCEEDED, or why not.
    :param host: BND.ADDR; 0.0.0.0 where it means nothing.
    :param port: BND.PORT.
    :returns: the bytes to send.
    """
    if host is NOWHERE and not port:
        return _REPLIES[code]
    return bytes((VERSION, code, 0)) + _encode_address(host, port)


class RequestParser:
    """The acceptor's reader: greeting and request, in any pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False
        self._due = b""

    @property
    def greeted(self) -> bool:
        """Whether the greeting is complete: send `method_reply()` then, once."""
        return self._greeted

    def receive(self, data: bytes | bytearray | memoryview) -> tuple[Request | None, bytes]:
        """Take the next bytes.

        :param data: any number of them.
        :returns: the request and the bytes behind it, or None and nothing while it is incomplete.
        :raises SocksError: this is no SOCKS 5, or nothing we serve; its `answer` is to be sent. It begins with the method reply when
            the greeting came with these bytes, so that it is never sent twice.
        """
        self._buffer += data
        self._due = b""
        if not self._greeted and not self._take_greeting():
            return None, b""
        if not _begins_well(self._buffer):
            return None, b""
        if len(self._buffer) >= 2 and self._buffer[1] not in _SERVED:
            raise SocksError(
                f"command {self._buffer[1]} is not served",
                self._due + reply(Rep.COMMAND_NOT_SUPPORTED),
            )
        decoded = _decode_address(self._buffer, self._due + reply(Rep.ADDRESS_TYPE_NOT_SUPPORTED))
        if decoded is None:
            return None, b""
        address_type, host, port, size = decoded
        wanted = Request(command=Command(self._buffer[1]), address_type=address_type, host=host, port=port)
        return wanted, _take_rest(self._buffer, size)

    def _take_greeting(self) -> bool:
        """Take version and methods off the buffer, when they are there."""
        if not _begins_well(self._buffer) or len(self._buffer) < 2:
            return False
        size = 2 + self._buffer[1]
        if len(self._buffer) < size:
            return False
        if NO_AUTHENTICATION not in self._buffer[2:size]:
            raise SocksError("only clients without SOCKS authentication are served", _NO_METHOD)
        del self._buffer[:size]
        self._greeted = True
        self._due = method_reply()
        return True


class ReplyParser:
    """The opener's reader: method and reply, in any pieces. Once it has returned a reply it reads the next one (BIND has two)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._method_accepted = False

    @property
    def method_accepted(self) -> bool:
        """Whether the acceptor has agreed to the method: an opener that goes step by step may send `request(...)` now."""
        return self._method_accepted

    def receive(self, data: bytes | bytearray | memoryview) -> tuple[Reply | None, bytes]:
        """Take the next bytes.

        :param data: any number of them.
        :returns: the reply and the bytes behind it, or None and nothing while it is incomplete.
        :raises SocksError: this is no SOCKS 5, or it wants an authentication that we do not offer.
        """
        self._buffer += data
        if not self._method_accepted and not self._take_method():
            return None, b""
        if not _begins_well(self._buffer):
            return None, b""
        decoded = _decode_address(self._buffer, b"")
        if decoded is None:
            return None, b""
        _, host, port, size = decoded
        answer = Reply(code=_REPS.get(self._buffer[1], Rep.GENERAL_FAILURE), host=host, port=port)
        return answer, _take_rest(self._buffer, size)

    def _take_method(self) -> bool:
        """Take version and method off the buffer, when they are there."""
        if not _begins_well(self._buffer) or len(self._buffer) < 2:
            return False
        if self._buffer[1] != NO_AUTHENTICATION:
            raise SocksError(
                f"the acceptor wants authentication method {self._buffer[1]}, which was not offered"
            )
        del self._buffer[:2]
        self._method_accepted = True
        return True


def _begins_well(buffer: bytearray) -> bool:
    """Whether a first byte is there, and is the version."""
    if not buffer:
        return False
    if buffer[0] != VERSION:
        raise SocksError(f"SOCKS version {buffer[0]} is not spoken here, only 5")
    return True


def _encode_address(host: Host, port: int) -> bytes:
    """ATYP, address and port (RFC 1928, section 5)."""
    if isinstance(host, str):
        name = host.encode()
        if not 1 <= len(name) <= NAME_MAXIMUM_BYTES:
            raise MisuseError(f"a name of {len(name)} bytes does not fit SOCKS: 1 to {NAME_MAXIMUM_BYTES} do")
        address = bytes((AddressType.DOMAIN, len(name))) + name
    elif isinstance(host, IPv4Address):
        address = bytes((AddressType.IPV4,)) + host.packed
    else:
        address = bytes((AddressType.IPV6,)) + host.packed
    return address + port.to_bytes(2, "big")


def _decode_address(buffer: bytearray, answer: bytes) -> tuple[AddressType, str, int, int] | None:
    """ATYP, address and port of a message that begins with VER, CMD or REP, and RSV.

    :param answer: what a SocksError is to carry.
    :returns: type, host, port and the size of the whole message; None while it is incomplete.
    """
    if len(buffer) < 5:
        return None
    if buffer[3] == AddressType.DOMAIN:
        start, stop = 5, 5 + buffer[4]
    elif buffer[3] in _ADDRESS_SIZES:
        start, stop = 4, 4 + _ADDRESS_SIZES[buffer[3]]
    else:
        raise SocksError(f"address type {buffer[3]} does not exist", answer)
    if len(buffer) < stop + 2:
        return None
    address_type = AddressType(buffer[3])
    host = _decode_host(address_type, bytes(buffer[start:stop]), answer)
    return address_type, host, int.from_bytes(buffer[stop : stop + 2], "big"), stop + 2


def _decode_host(address_type: AddressType, raw: bytes, answer: bytes) -> str:
    """An address as text. Names end in log lines, so they are to be printable."""
    if address_type is AddressType.IPV4:
        return str(IPv4Address(raw))
    if address_type is AddressType.IPV6:
        return str(IPv6Address(raw))
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise SocksError("a name is not UTF-8", answer) from error
    if not name or not name.isprintable():
        raise SocksError("a name is empty or not printable", answer)
    return name


@lru_cache(maxsize=_REMEMBERED)
def whole_request(data: bytes) -> Request | None:
    """What an opener that runs ahead says in one piece.

    :param data: at most `REQUEST_MAXIMUM_BYTES`: it is remembered.
    :returns: the request; None when these bytes are less than greeting and request, or more.
    :raises SocksError: as `RequestParser.receive` does.
    """
    wanted, rest = RequestParser().receive(data)
    return None if rest else wanted


def _take_rest(buffer: bytearray, size: int) -> bytes:
    """Empty the buffer; what stands behind the message belongs to whoever comes next."""
    rest = bytes(buffer[size:])
    buffer.clear()
    return rest


_NO_METHOD = bytes((VERSION, NO_ACCEPTABLE_METHODS))
_SERVED = frozenset({int(Command.CONNECT), int(Command.BIND)})
_ADDRESS_SIZES = {int(AddressType.IPV4): 4, int(AddressType.IPV6): 16}
_REPS = {int(rep): rep for rep in Rep}
_REPLIES = {rep: bytes((VERSION, rep, 0)) + _encode_address(NOWHERE, 0) for rep in Rep}
