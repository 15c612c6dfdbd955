"""Where the bound of what may wait is kept, for each kind of transport."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.bound import set_bound
from kwic.transport.lean_tcp import FIRST_READ_BYTES


class BoundTests(SynchronousTestCase):
    """Transports of others; ours are bound in `test.service.test_pending`."""

    def test_twisted_s(self) -> None:
        """Twisted's TCP has one figure for the bound and for its reads, and those are not made tiny; so it is below Twisted's TLS."""
        tcp: Any = SimpleNamespace(bufferSize=65_536)
        tls = ProtocolWrapper(WrappingFactory(Factory.forProtocol(Protocol)), Protocol())
        tls.transport = tcp
        for transport in (tcp, tls):
            set_bound(transport, 100_000)
            self.assertEqual(tcp.bufferSize, 100_000)
            set_bound(transport, 1)
            self.assertEqual(tcp.bufferSize, FIRST_READ_BYTES)

    def test_none(self) -> None:
        """One that has no bound is left alone."""
        transport = SimpleNamespace()
        set_bound(transport, 1)
        self.assertEqual(vars(transport), {})
