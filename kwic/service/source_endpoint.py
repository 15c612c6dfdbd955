"""An endpoint that connects the way the clients of a service go: for probing what lies behind tunnels and pipes."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from kwic.service.context import Context
from kwic.service.dial import Dial
from kwic.service.path import PathSource
from kwic.transport.connect_error import ConnectError, Why
from kwic.transport.leg import Leg
from kwic.wire.socks5 import Rep


@implementer(IStreamClientEndpoint)
class SourceEndpoint:
    """
    The paths of a service.

    :param context: the gateway's surroundings.
    :param source: where the paths come from.
    """

    def __init__(self, context: Context, source: PathSource) -> None:
        self._context = context
        self._source = source

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Dial.

        :param protocolFactory: not asked: what is connected is a leg, which waits paused.
        :returns: the leg; fails with `ConnectError`.
        """
        outcome: Deferred[IProtocol] = Deferred(lambda _: dial.cancel())

        def on_success(leg: Leg) -> None:
            outcome.callback(leg)

        def on_failure(rep: Rep, why: str) -> None:
            outcome.errback(ConnectError(why, Why.UNREACHABLE))

        dial = Dial(
            self._context.reactor,
            self._source,
            on_success=on_success,
            on_failure=on_failure,
            draw=self._context.random,
        )
        dial.start()
        return outcome
