"""
TLS in whole buffers: what is written goes through OpenSSL in one call, and all records of one read are delivered at once.

Twisted's own TLS transport writes and reads 16 KiB a call and delivers each record by itself; for bulk that is half of the cost. Three of its private methods are
replaced here, and nothing else. `fits` looks whether they are still the ones that this file knows; where they are not, Twisted's transport
is used as it is, which is slower and otherwise the same.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from kwic.transport.leg import READ_BYTES

#: A TLS record holds at most so much (RFC 8446 5.1).
RECORD_BYTES = 16_384
#: What a record adds at most: header, type, padding and tag (RFC 8446 5.2), rounded up.
RECORD_OVERHEAD_BYTES = 64
#: The methods that are replaced, and those that are called, with their parameters as this file knows them.
_KNOWN = {
    "_write": ["self", "bytes"],
    "_flushSendBIO": ["self"],
    "_flushReceiveBIO": ["self"],
    "_bufferedWrite": ["self", "octets"],
    "_shutdownTLS": ["self"],
    "_tlsShutdownFinished": ["self", "reason"],
}


def fits() -> bool:
    """Whether the private methods of Twisted's TLS transport are those that this file replaces."""
    methods = {name: getattr(TLSMemoryBIOProtocol, name, None) for name in _KNOWN}
    return all(
        method is not None and list(inspect.signature(method).parameters) == _KNOWN[name]
        for name, method in methods.items()
    )


class WholeTls(TLSMemoryBIOProtocol):
    """A TLS transport that takes and gives what there is at once. Its writes are not gathered: who writes here has done so."""

    transport: Any
    _tlsConnection: Any
    _lostTLSConnection: bool

    def makeConnection(self, transport: Any) -> None:
        """Read large pieces from the socket."""
        if hasattr(transport, "bufferSize"):
            transport.bufferSize = READ_BYTES
        super().makeConnection(transport)

    def _write(self, data: Any) -> None:
        if self._lostTLSConnection or not data:
            return
        try:
            self._tlsConnection.send(data)
        except SSL.WantReadError:
            self._bufferedWrite(data)
        except SSL.Error:
            self._tlsShutdownFinished(Failure())
        else:
            size = len(data)
            self._flush_out(size + (size // RECORD_BYTES + 2) * RECORD_OVERHEAD_BYTES)

    def _flushSendBIO(self) -> None:
        self._flush_out(RECORD_BYTES)

    def _flush_out(self, expected: int) -> None:
        """Hand on what OpenSSL wants to send, until it has no more."""
        while True:
            try:
                piece = self._tlsConnection.bio_read(expected)
            except SSL.WantReadError:
                return
            self.transport.write(piece)
            if len(piece) < expected:
                return

    def _flushReceiveBIO(self) -> None:
        if self._lostTLSConnection:
            self._flushSendBIO()
            return
        receive = self._tlsConnection.recv
        pieces: list[bytes] = []
        end: Any = None
        while True:
            try:
                pieces.append(receive(RECORD_BYTES))
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                end = self._closed_in_order
                break
            except SSL.Error:
                end = partial(self._tlsShutdownFinished, Failure())
                break
        if pieces and not self._aborted:
            ProtocolWrapper.dataReceived(self, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if end is not None and not self._lostTLSConnection:
            end()
        if self._tlsConnection is not None:
            self._flushSendBIO()

    def _closed_in_order(self) -> None:
        self._shutdownTLS()
        self._tlsShutdownFinished(None)


class _WholeFactory(TLSMemoryBIOFactory):
    protocol = WholeTls


_FITS = fits()
if not _FITS:
    Logger(namespace="kwic.transport.whole_tls").warn(
        "this version of Twisted has another TLS transport than expected: its own is used, which is slower"
    )


def tls_factory(
    creator: Any, *, client: bool, wrapped: IProtocolFactory, clock: IReactorTime
) -> TLSMemoryBIOFactory:
    """
    Put TLS below a factory.

    :param creator: makes the TLS connections (see `kwic.transport.tls`).
    :param client: whether we are the client.
    :param wrapped: the factory of the protocols above.
    """
    kind = _WholeFactory if _FITS else TLSMemoryBIOFactory
    return kind(creator, client, wrapped, clock)
