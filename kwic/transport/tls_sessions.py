"""What clients remember to shorten their next handshake with the same host: one session ticket each.

A forward service makes a TLS connection for each of its clients, and a lost tunnel comes back at once: with a ticket both
ends skip the signatures and the certificates, which is more than half of the work. A ticket is only ever used for the host
it came from, with the key and the trust that were in use; a reload forgets them all.
"""

from __future__ import annotations

from collections import OrderedDict

from OpenSSL import SSL

from kwic.transport.judgement import CheckedConnection, HostJudge

_HOSTS_LIMIT = 256  # a session is a few kB
_FLIGHTS_TO_TICKET = {SSL.TLS1_3_VERSION: 2}
"""How many times OpenSSL's state machine has come to rest when the first ticket is there: in TLS 1.3 once for the
handshake and once more for the ticket, which comes after it.

The first ticket, because OpenSSL spoils a connection's current session when the connection breaks off; when the second
ticket arrives (servers send two), the first is no longer current."""


class ClientConnection(CheckedConnection):
    """A connection to a host, with what its judge and its session need to know."""

    def __init__(self, context: SSL.Context, host: str) -> None:
        """:param host: ASCII name or IP address."""
        super().__init__(context, HostJudge(host))
        self.host = host
        self.flights = 0


class SessionCache:
    """The sessions to offer, by host; the one used longest ago goes first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, SSL.Session] = OrderedDict()

    def watch(self, context: SSL.Context) -> None:
        """Keep the sessions of this context's connections, which are all :class:`ClientConnection`."""
        context.set_info_callback(self._noted)

    def resume(self, connection: ClientConnection) -> None:
        """Offer what is remembered for the connection's host, if anything."""
        session = self._sessions.get(connection.host)
        if session is not None:
            connection.set_session(session)

    def _noted(self, connection: SSL.Connection, where: int, result: int) -> None:
        if where != SSL.SSL_CB_CONNECT_EXIT or result != 1 or not isinstance(connection, ClientConnection):
            return
        connection.flights += 1
        if connection.flights == _FLIGHTS_TO_TICKET.get(connection.get_protocol_version(), 1):
            session = connection.get_session()
            if session is not None:
                self._remember(connection.host, session)

    def _remember(self, host: str, session: SSL.Session) -> None:
        self._sessions[host] = session
        self._sessions.move_to_end(host)
        if len(self._sessions) > _HOSTS_LIMIT:
            self._sessions.popitem(last=False)
