"""How a stream begins, from both sides, with peers that say it in other pieces than ours."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.transport.deadlines import Deadlines
from kwic.transport.negotiation import REQUEST_S, Acceptor, Opener
from kwic.wire.socks5 import Command, Rep, Request, greeting, method_reply, open_request, reply, request

NAME = "svc-a.b"


class Wire:
    """A stream, as far as a negotiation needs it: it keeps what is written, and what is done to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.done: list[str] = []
        self.protocol = None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def hand_over(self, protocol) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)

    def __getattr__(self, name: str):
        if name in ("pauseProducing", "resumeProducing", "abortConnection", "reset_when_sent"):
            return lambda: self.done.append(name)
        raise AttributeError(name)


class AcceptorTests(SynchronousTestCase):
    """The peer asks."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Request] = []
        self.acceptor = Acceptor(
            Deadlines(self.clock, REQUEST_S), lambda acceptor, wanted: self.asked.append(wanted)
        )
        self.wire = Wire()
        self.acceptor.makeConnection(self.wire)

    def hears(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.acceptor.dataReceived(piece)

    def test_in_one_piece(self) -> None:
        """One that waits for nothing gets method and reply together."""
        self.hears(open_request(Command.CONNECT, NAME))
        self.assertEqual([wanted.host for wanted in self.asked], [NAME])
        self.assertEqual((self.wire.written, self.wire.done), ([], ["pauseProducing"]))
        self.acceptor.accept()
        self.assertEqual(self.wire.written, [method_reply() + reply(Rep.SUCCEEDED)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_in_one_piece(self) -> None:
        """So it does when it is told no."""
        self.hears(open_request(Command.CONNECT, NAME))
        self.acceptor.refuse(Rep.NOT_ALLOWED)
        self.assertEqual(self.wire.written, [method_reply() + reply(Rep.NOT_ALLOWED)])
        self.assertEqual(self.wire.done[-1], "reset_when_sent")

    def test_step_by_step(self) -> None:
        """One that waits for the method gets it at once, and once."""
        self.hears(greeting())
        self.assertEqual((self.wire.written, self.asked), ([method_reply()], []))
        self.hears(request(Command.CONNECT, NAME))
        self.acceptor.accept()
        self.assertEqual(self.wire.written, [method_reply(), reply(Rep.SUCCEEDED)])

    def test_in_any_pieces(self) -> None:
        """Nor does it matter how it is cut."""
        message = open_request(Command.CONNECT, NAME)
        self.hears(*(message[at : at + 1] for at in range(len(message))))
        self.assertEqual(len(self.asked), 1)
        self.assertEqual(self.wire.written, [method_reply()])

    def test_what_follows(self) -> None:
        """Bytes behind the request are the client's."""
        self.hears(open_request(Command.CONNECT, NAME) + b"early")
        self.assertEqual(self.acceptor.accept().early, b"early")

    def test_nonsense(self) -> None:
        """Whoever asks for what is not served is told so, and let go."""
        self.hears(open_request(Command.UDP_ASSOCIATE, NAME))
        self.assertEqual(self.wire.written, [method_reply() + reply(Rep.COMMAND_NOT_SUPPORTED)])
        self.assertEqual(self.wire.done, ["reset_when_sent"])

    def test_silence(self) -> None:
        """Whoever asks for nothing is let go in the end."""
        self.clock.advance(REQUEST_S)
        self.assertEqual(self.wire.done, ["abortConnection"])


class OpenerTests(SynchronousTestCase):
    """We ask."""

    def setUp(self) -> None:
        self.replies: list[Rep] = []
        self.opener = Opener(
            Command.CONNECT,
            NAME,
            on_reply=lambda opener, rep: self.replies.append(rep),
            on_lost=lambda opener: self.replies.append(None),
        )
        self.wire = Wire()
        self.opener.makeConnection(self.wire)

    def test_in_one_piece(self) -> None:
        """Method and reply may come together."""
        self.assertEqual(self.wire.written, [open_request(Command.CONNECT, NAME)])
        self.opener.dataReceived(method_reply() + reply(Rep.SUCCEEDED))
        self.assertEqual((self.replies, self.wire.done), ([Rep.SUCCEEDED], ["pauseProducing"]))

    def test_in_other_pieces(self) -> None:
        """Or one after the other, with the far end's first bytes behind them."""
        for piece in (method_reply(), reply(Rep.SUCCEEDED) + b"hello"):
            self.opener.dataReceived(piece)
        self.assertEqual(self.replies, [Rep.SUCCEEDED])
        self.assertEqual(self.opener.leg().early, b"hello")

    def test_refused(self) -> None:
        """A refusal is an answer, and the end."""
        self.opener.dataReceived(method_reply() + reply(Rep.HOST_UNREACHABLE))
        self.opener.connectionLost()
        self.assertEqual(self.replies, [Rep.HOST_UNREACHABLE])
        self.assertEqual(self.wire.done[-1], "abortConnection")

    def test_nonsense(self) -> None:
        """Whoever answers something else is left."""
        self.opener.dataReceived(b"HTTP/1.1 400 Bad Request")
        self.assertEqual((self.replies, self.wire.done), ([], ["abortConnection"]))
