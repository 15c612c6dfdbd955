"""
TLS in whole buffers: what is written goes through OpenSSL in one call, and all records of one read are delivered at once.

Twisted's own TLS transport writes and reads 16 KiB a call and delivers each record by itself; for bulk that is half of the cost. Some of its private methods are
replaced here, and nothing else. `fits` looks whether they are still the ones that this file knows; where they are not, Twisted's transport
is used as it is, which is slower and otherwise the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from kwic.transport.direct_send import sender
from kwic.transport.lean_tcp import CARRIER_READ_BYTES
from kwic.transport.openssl_handles import BUFFER_BYTES, HANDLES, WANTS_MORE, Handles, Records

#: A TLS record holds at most so much (RFC 8446 5.1).
RECORD_BYTES = 16_384
#: The methods that are replaced, and those that are called, with their parameters as this file knows them.
_KNOWN = {
    "dataReceived": ["self", "bytes"],
    "_checkHandshakeStatus": ["self"],
    "_write": ["self", "bytes"],
    "_flushSendBIO": ["self"],
    "_flushReceiveBIO": ["self"],
    "_bufferedWrite": ["self", "octets"],
    "_shutdownTLS": ["self"],
    "_tlsShutdownFinished": ["self", "reason"],
    "connectionLost": ["self", "reason"],
    "abortConnection": ["self"],
    "write": ["self", "bytes"],
}


def fits(kind: type[TLSMemoryBIOProtocol]) -> bool:
    """
    Whether the private methods of Twisted's TLS transport are those that this file replaces.

    :param kind: that transport.
    """
    methods = {name: getattr(kind, name, None) for name in _KNOWN}
    return all(
        method is not None and list(inspect.signature(method).parameters) == _KNOWN[name]
        for name, method in methods.items()
    )


class WholeTls(TLSMemoryBIOProtocol):
    """A TLS transport that takes and gives what there is at once. Its writes are not gathered: who writes here has done so."""

    transport: Any
    factory: WholeFactory
    _tlsConnection: Any
    _lostTLSConnection: bool
    _handshakeDone: bool
    _appSendBuffer: list[bytes]
    _records: Records | None = None
    #: The same from the end of the handshake to whatever ends the connection: one look for what Twisted keeps in four names, as each costs much here.
    _open: Records | None = None

    def makeConnection(self, transport: Any) -> None:
        """Read large pieces from the socket."""
        if hasattr(transport, "bufferSize"):
            transport.bufferSize = CARRIER_READ_BYTES
        self._send = sender(transport)
        super().makeConnection(transport)

    def _checkHandshakeStatus(self) -> None:
        if self._records is None and self.factory.handles is not None:
            self._records = self.factory.handles.of(self._tlsConnection, self._send)
        super()._checkHandshakeStatus()
        if self._handshakeDone and not (self._aborted or self._lostTLSConnection):
            self._open = self._records

    def write(self, data: Any) -> None:
        """Encrypt and send; dropped after `loseConnection`, as Twisted's does."""
        records = self._open
        if records is None or self.disconnecting or not data:
            super().write(data)
            return
        try:
            sent = records.write(data)
        except SSL.Error as error:
            self._not_taken(data, error)
            return
        records.flush()
        if sent < len(data):
            # Only where the context was not told to take all at once (see `tls_context`).
            self._write(memoryview(data)[sent:])

    def write_pieces(self, pieces: Iterable[Any]) -> None:
        """
        Encrypt one after the other, and send all together.

        :param pieces: bytes of any kind, none of them empty.
        """
        records = self._open
        if records is None or self.disconnecting:
            super().write(b"".join(pieces))
            return
        for piece in pieces:
            left = piece
            while len(left):
                try:
                    left = memoryview(left)[records.write(left) :]
                except SSL.Error as error:
                    self._not_taken(left, error)
                    break
        records.flush()

    def _write(self, data: Any) -> None:
        left = data
        while len(left) and not self._lostTLSConnection:
            records = self._records
            try:
                sent = self._tlsConnection.send(left) if records is None else records.write(left)
            except SSL.Error as error:
                self._not_taken(left, error)
                return
            self._flushSendBIO()
            left = memoryview(left)[sent:]

    def _not_taken(self, data: Any, error: SSL.Error) -> None:
        """OpenSSL does not take bytes: yet, or any more."""
        if isinstance(error, SSL.WantReadError):
            self._bufferedWrite(bytes(data))
        else:
            self._tlsShutdownFinished(Failure(error))

    def _tlsShutdownFinished(self, reason: Any) -> None:
        self._open = None
        super()._tlsShutdownFinished(reason)

    def abortConnection(self) -> None:
        """Close at once, and deliver nothing more."""
        self._open = None
        super().abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection below is gone."""
        self._open = None
        super().connectionLost(reason)
        # They have the connection, and that has us.
        self._records = None

    def dataReceived(self, data: bytes) -> None:
        """Decrypt and deliver."""
        records = self._open
        if records is None or self._appSendBuffer:
            super().dataReceived(data)
            return
        plain, error = records.receive(data)
        if error is not WANTS_MORE:
            self._received(plain, error)
            return
        if plain:
            protocol: Any = self.wrappedProtocol
            protocol.dataReceived(plain if getattr(protocol, "takes_views", False) else bytes(plain))
        else:
            # It was about TLS itself, which may have an answer. One to what comes among data leaves with what is written next.
            records.flush()

    def _flushSendBIO(self) -> None:
        """Hand on what OpenSSL wants to send, until it has no more."""
        if self._records is not None:
            self._records.flush()
            return
        try:
            while True:
                self._send(self._tlsConnection.bio_read(BUFFER_BYTES))
        except SSL.WantReadError:
            return

    def _flushReceiveBIO(self) -> None:
        if not self._lostTLSConnection:
            self._received(*self._read_plain())
        elif self._tlsConnection is not None:
            self._flushSendBIO()

    def _received(self, plain: Any, error: SSL.Error | None) -> None:
        """
        Deliver what was read, and what there still is to read.

        :param plain: what was read.
        :param error: why there is no more; None when there may be.
        """
        while error is None:
            self._deliver(plain)
            if self._lostTLSConnection:
                return
            plain, error = self._read_plain()
        if plain:
            self._deliver(plain)
        if not isinstance(error, SSL.WantReadError) and not self._lostTLSConnection:
            self._ended(error)
        if self._tlsConnection is not None:
            self._flushSendBIO()

    def _deliver(self, plain: Any) -> None:
        if not self._aborted:
            protocol: Any = self.wrappedProtocol
            protocol.dataReceived(plain if getattr(protocol, "takes_views", False) else bytes(plain))

    def _read_plain(self) -> tuple[Any, SSL.Error | None]:
        """All that was received, and why there is no more; None when there may be."""
        if self._records is not None:
            return self._records.read()
        pieces: list[bytes] = []
        try:
            while True:
                pieces.append(self._tlsConnection.recv(RECORD_BYTES))
        except SSL.Error as error:
            # Without its frames: they would keep what was read, in a cycle with the error itself.
            return b"".join(pieces), error.with_traceback(None)

    def _ended(self, error: SSL.Error) -> None:
        """TLS is over, in order or not."""
        if isinstance(error, SSL.ZeroReturnError):
            self._closed_in_order()
        else:
            self._tlsShutdownFinished(Failure(error))

    def _closed_in_order(self) -> None:
        self._shutdownTLS()
        self._tlsShutdownFinished(None)


class WholeFactory(TLSMemoryBIOFactory):
    """
    Puts `WholeTls` below a factory.

    :param handles: how OpenSSL is called; None for pyOpenSSL's public functions.
    """

    protocol = WholeTls

    def __init__(
        self,
        creator: Any,
        is_client: bool,
        wrapped: IProtocolFactory,
        clock: IReactorTime,
        handles: Handles | None = HANDLES,
    ) -> None:
        self.handles = handles
        super().__init__(creator, is_client, wrapped, clock)


def factory_class(kind: type[TLSMemoryBIOProtocol]) -> type[TLSMemoryBIOFactory]:
    """
    Whose TLS transport is used: ours, or Twisted's own where ours would not fit it.

    :param kind: Twisted's.
    """
    if fits(kind):
        return WholeFactory
    Logger(namespace="kwic.transport.whole_tls").warn(
        "this version of Twisted has another TLS transport than expected: its own is used, which is slower"
    )
    return TLSMemoryBIOFactory


FACTORY = factory_class(TLSMemoryBIOProtocol)


def tls_factory(
    creator: Any, *, client: bool, wrapped: IProtocolFactory, clock: IReactorTime
) -> TLSMemoryBIOFactory:
    """
    Put TLS below a factory.

    :param creator: makes the TLS connections (see `kwic.transport.tls`).
    :param client: whether we are the client.
    :param wrapped: the factory of the protocols above.
    """
    return FACTORY(creator, client, wrapped, clock)
