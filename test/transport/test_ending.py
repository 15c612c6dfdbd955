"""How connections ended, in words."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.ending import explain_end
from kwic.transport.judgement import CertificateRefused
from kwic.transport.websocket_transport import WebSocketClosed, WebSocketFailed


class EndingTests(SynchronousTestCase):
    """Whatever a connection ended with, the log has one short line about it."""

    def test_words(self) -> None:
        """Twisted's exceptions are told in plain words, or in ours where we gave a reason; all others speak for themselves."""
        for error, words in (
            (ConnectionDone(), "the connection was closed"),
            (ConnectionLost(), "the connection was lost"),
            (CONNECTION_DONE, "the connection was closed"),
            (CONNECTION_LOST, "the connection was lost"),
            (ConnectionAborted(), "we dropped the connection"),
            (ConnectionLost("nothing was received for 5.0 s"), "nothing was received for 5.0 s"),
            (ConnectionAborted("it did not\nsay hello"), "it did not say hello"),
            (WebSocketClosed(1000), "the WebSocket closed (1000)"),
            (WebSocketFailed(1002, "no such flag"), "the WebSocket failed (1002: no such flag)"),
            (WebSocketFailed(1006, "the connection was lost"), "the connection was lost (1006)"),
            (CertificateRefused("it has expired"), "it has expired"),
            (
                SSL.Error([("SSL routines", "", "wrong version number")]),
                "the other end does not speak TLS; check scheme and port",
            ),
            (OSError(), "OSError"),
        ):
            self.assertEqual(explain_end(Failure(error)), words)
