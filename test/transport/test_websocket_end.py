"""An open WebSocket: how it ends, and what its protocol is told."""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost

from kwic.transport.websocket_transport import WebSocketClosed, WebSocketFailed
from test.transport.open_case import BINARY, CLOSE, ClientSide, OpenCase


class ServerEndTests(OpenCase):
    """How a WebSocket ends."""

    def setUp(self) -> None:
        super().setUp()
        self.open_with()

    def test_the_peer_closes(self) -> None:
        """The peer's Close is answered with its code, and the connection is closed at once."""
        for code, kind in (
            (None, WebSocketClosed),
            (1000, WebSocketClosed),
            (1001, WebSocketClosed),
            (1002, WebSocketFailed),
            (1011, WebSocketFailed),
            (1012, WebSocketFailed),
            (1014, WebSocketFailed),
            (3000, WebSocketFailed),
            (4999, WebSocketFailed),
        ):
            self.open_with()
            self.send(self.frame(BINARY, b"last"), self.close_frame(code, b"bye" if code else b""))
            self.assertEqual(self.ours.received, [b"last"])
            self.assertEqual(self.heard()[-1], (CLOSE, b"" if code is None else code.to_bytes(2, "big")))
            self.assert_end(kind, 1005 if code is None else code)
            self.assertIsInstance(
                self.ours.lost.value, ConnectionDone if kind is WebSocketClosed else ConnectionLost
            )
            self.assertFalse(self.peer.transport.other.aborted)
            self.assert_idle()

    def test_what_the_end_says(self) -> None:
        """The end names code and reason in one line."""
        self.send(self.close_frame(1014, b"no route"))
        self.assertEqual(str(self.ours.lost.value), "the WebSocket failed (1014: no route)")
        self.open_with()
        self.send(self.close_frame(1000))
        self.assertEqual(str(self.ours.lost.value), "the WebSocket closed (1000)")

    def test_a_reason_for_the_log(self) -> None:
        """A reason with line ends and terminal sequences in it stays one harmless line."""
        self.send(self.close_frame(1011, b"a\nCLOSED: \x1b[2J"))
        self.assertEqual(str(self.ours.lost.value), "the WebSocket failed (1011: a?CLOSED: ?[2J)")

    def test_we_close(self) -> None:
        """LoseConnection sends what was written, then Close 1000, and waits for the answer."""
        self.transport.write(b"last")
        self.transport.loseConnection()
        self.transport.write(b"late")
        self.assertEqual(self.heard(), [(BINARY, b"last"), (CLOSE, b"\x03\xe8")])
        self.assertIsNone(self.ours.lost)
        self.send(self.frame(BINARY, b"in flight"), self.close_frame(1000))
        self.assertEqual(self.ours.received, [])
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_we_close_with_a_code(self) -> None:
        """Every code that may be sent can be, with a reason that is cut between characters."""
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999):
            self.open_with()
            self.transport.close(code, "ä" * 100)
            self.assertEqual(self.heard(), [(CLOSE, code.to_bytes(2, "big") + "ä".encode() * 61)])
            self.send(self.close_frame(code))
            self.assert_end(ConnectionDone)

    def test_both_close(self) -> None:
        """Two Close frames that cross are an end like any other."""
        self.transport.loseConnection()
        self.peer.transport.write(self.close_frame(1001))
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_closing_twice(self) -> None:
        """One Close is enough."""
        self.transport.loseConnection()
        self.transport.loseConnection()
        self.transport.close(1011)
        self.assertEqual(len(self.heard()), 1)

    def test_no_answer(self) -> None:
        """A peer that does not answer our Close is waited for 5 s; then the connection is closed, not aborted."""
        self.transport.loseConnection()
        self.network.pass_time(4.9)
        self.assertIsNone(self.ours.lost)
        self.network.pass_time(0.2)
        self.assert_end(ConnectionDone)
        self.assertFalse(self.peer.transport.other.aborted)
        self.assert_idle()

    def test_a_slow_reader_gets_everything(self) -> None:
        """A peer that reads slowly gets what was written before the Close, however long it takes to begin."""
        self.peer.transport.reading = False
        self.transport.write(b"x" * 500_000)
        self.transport.loseConnection()
        self.network.pass_time(30, 5)
        self.peer.transport.reading = True
        self.assertEqual(sum(len(payload) for op, payload in self.heard() if op == BINARY), 500_000)
        self.assert_close(1000)
        self.assert_end(ConnectionDone)
        self.assert_idle()

    def test_who_never_reads(self) -> None:
        """A peer that reads nothing for a minute after the end is dropped."""
        self.peer.transport.reading = False
        self.transport.write(b"x" * 500_000)
        self.transport.loseConnection()
        self.network.pass_time(66, 5)
        self.assert_end(ConnectionDone)
        self.assertTrue(self.peer.transport.other.aborted)
        self.assert_idle()

    def test_we_abort(self) -> None:
        """AbortConnection resets the connection without a word."""
        self.transport.abortConnection()
        self.transport.abortConnection()
        self.assert_end(ConnectionAborted)
        self.assertEqual(self.heard(), [])
        self.assertTrue(self.peer.transport.other.aborted)
        self.assert_idle()

    def test_we_drop_for_a_reason(self) -> None:
        """A WebSocket that is dropped for a reason ends with that, also when it was closing."""
        for prepare in (lambda: None, lambda: self.transport.loseConnection()):
            self.open_with()
            prepare()
            self.transport.drop("nothing was received")
            self.assert_end(ConnectionAborted)
            self.assertEqual(self.ours.lost.value.args, ("nothing was received",))
            self.assert_idle()

    def test_we_abort_while_closing(self) -> None:
        """A closing WebSocket can be aborted."""
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.assert_end(ConnectionAborted)
        self.assert_idle()

    def test_cut_off(self) -> None:
        """A connection that ends without a Close may have lost bytes: never a clean end, code 1006."""
        for leave in ("loseConnection", "abortConnection"):
            self.open_with()
            getattr(self.peer.transport, leave)()
            self.assert_end(WebSocketFailed, 1006)
            self.transport.write(b"late")
            self.transport.loseConnection()
            self.transport.abortConnection()
            self.assert_idle()

    def test_cut_off_within_a_message(self) -> None:
        """Half a message is not delivered."""
        self.send(self.frame(BINARY, b"x" * 100)[:50])
        self.peer.transport.loseConnection()
        self.assert_end(WebSocketFailed, 1006)
        self.assertEqual(self.ours.received, [])

    def test_after_the_peers_close(self) -> None:
        """What comes behind a Close is dropped."""
        self.send(self.close_frame(1000), self.frame(BINARY, b"late"), self.close_frame(1011))
        self.assertEqual(self.ours.received, [])
        self.assert_end(WebSocketClosed, 1000)
        self.assert_idle()

    def test_closing_within_a_delivery(self) -> None:
        """A protocol may close, or abort, while it is given a message; the rest of the read is dropped."""
        for leave in ("loseConnection", "abortConnection"):
            self.open_with()
            self.ours._on_data = lambda protocol, _, leave=leave: getattr(protocol.transport, leave)()
            self.send(self.frame(BINARY, b"one"), self.frame(BINARY, b"two"), self.close_frame(1000))
            self.assertEqual(self.ours.received, [b"one"])
            self.assertIsNotNone(self.ours.lost)
            self.assert_idle()

    def test_a_protocol_that_fails(self) -> None:
        """An exception of the protocol reaches whoever delivered the bytes, as on any transport."""

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        self.ours._on_data = fail
        self.peer.transport.write(self.frame(BINARY, b"x"))
        self.assertRaises(RuntimeError, self.network.settle)


class ClientEndTests(ClientSide, ServerEndTests):
    """How a dialled WebSocket ends."""
