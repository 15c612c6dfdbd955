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
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from kwic.transport.direct_send import sender
from kwic.transport.leg import READ_BYTES
from kwic.transport.openssl_handles import BUFFER_BYTES, HANDLES, Handles

#: A TLS record holds at most so much (RFC 8446 5.1).
RECORD_BYTES = 16_384
#: The methods that are replaced, and those that are called, with their parameters as this file knows them.
_KNOWN = {
    "dataReceived": ["self", "bytes"],
    "_write": ["self", "bytes"],
    "_flushSendBIO": ["self"],
    "_flushReceiveBIO": ["self"],
    "_bufferedWrite": ["self", "octets"],
    "_shutdownTLS": ["self"],
    "_tlsShutdownFinished": ["self", "reason"],
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
    _held = False
    """More is to be encrypted before anything is sent."""

    def makeConnection(self, transport: Any) -> None:
        """Read large pieces from the socket."""
        if hasattr(transport, "bufferSize"):
            transport.bufferSize = READ_BYTES
        self._send = sender(transport)
        self._handles = self.factory.handles
        super().makeConnection(transport)

    def write(self, data: Any) -> None:
        """Encrypt and send; dropped after `loseConnection`, as Twisted's does."""
        if not self.disconnecting or self._producer is not None:
            self._write(data)

    def write_pieces(self, pieces: Iterable[Any]) -> None:
        """
        Encrypt one after the other, and send all together.

        :param pieces: bytes of any kind, none of them empty.
        """
        if self.disconnecting and self._producer is None:
            return
        self._held = True
        try:
            for piece in pieces:
                self._write(piece)
        finally:
            self._held = False
        self._flushSendBIO()

    def _write(self, data: Any) -> None:
        left = data
        while len(left) and not self._lostTLSConnection:
            try:
                sent = self._send_plain(left)
            except SSL.WantReadError:
                self._bufferedWrite(bytes(left))
                return
            except SSL.Error:
                self._tlsShutdownFinished(Failure())
                return
            self._flushSendBIO()
            if sent == len(left):
                return
            # Only where the context was not told to take all at once (see `tls_context`).
            left = memoryview(left)[sent:]

    def _send_plain(self, data: Any) -> int:
        if self._handles is not None:
            return self._handles.write(self._tlsConnection, data)
        sent: int = self._tlsConnection.send(data)
        return sent

    def dataReceived(self, data: bytes) -> None:
        """Decrypt and deliver."""
        if self._handles is None or not self._handshakeDone or self._appSendBuffer:
            super().dataReceived(data)
        else:
            self._handles.feed(self._tlsConnection, data)
            self._flushReceiveBIO()

    def _flushSendBIO(self) -> None:
        """Hand on what OpenSSL wants to send, until it has no more."""
        while not self._held:
            piece = self._read_out()
            if piece:
                self._send(piece)
            if len(piece) < BUFFER_BYTES:
                return

    def _read_out(self) -> Any:
        if self._handles is not None:
            return self._handles.read_out(self._tlsConnection)
        try:
            return self._tlsConnection.bio_read(BUFFER_BYTES)
        except SSL.WantReadError:
            return b""

    def _flushReceiveBIO(self) -> None:
        if not self._lostTLSConnection:
            plain, error = self._read_plain()
            while error is None:
                self._deliver(plain)
                if self._lostTLSConnection:
                    return
                plain, error = self._read_plain()
            self._deliver(plain)
            if not isinstance(error, SSL.WantReadError) and not self._lostTLSConnection:
                self._ended(error)
        if self._tlsConnection is not None:
            self._flushSendBIO()

    def _deliver(self, plain: Any) -> None:
        if plain and not self._aborted:
            wanted = plain if getattr(self.wrappedProtocol, "takes_views", False) else bytes(plain)
            ProtocolWrapper.dataReceived(self, wanted)

    def _read_plain(self) -> tuple[Any, SSL.Error | None]:
        """All that was received, and why there is no more; None when there may be."""
        if self._handles is not None:
            return self._handles.read_plain(self._tlsConnection)
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
