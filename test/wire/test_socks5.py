"""SOCKS 5 from both sides."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.socks5 import (
    NAME_MAXIMUM_BYTES,
    REQUEST_MAXIMUM_BYTES,
    AddressType,
    Command,
    Host,
    Rep,
    Reply,
    ReplyParser,
    Request,
    RequestParser,
    SocksError,
    greeting,
    method_reply,
    open_request,
    reply,
    request,
    whole_request,
)
from test.wire.pair import byte_by_byte

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=63)
hosts = st.one_of(names, st.ip_addresses())
ports = st.integers(0, 65535)


class EncodingTests(SynchronousTestCase):
    """What the bytes look like (RFC 1928)."""

    def test_open_request(self) -> None:
        """Greeting and request leave in one piece."""
        self.assertEqual(
            open_request(Command.CONNECT, "svc.a"),
            b"\x05\x01\x00" + b"\x05\x01\x00\x03\x05svc.a\x00\x00",
        )
        self.assertEqual(open_request(Command.BIND, "x", 80), greeting() + b"\x05\x02\x00\x03\x01x\x00\x50")

    def test_replies(self) -> None:
        """A reply with nothing to say names 0.0.0.0:0."""
        self.assertEqual(method_reply(), b"\x05\x00")
        self.assertEqual(reply(Rep.CONNECTION_REFUSED), b"\x05\x05\x00\x01" + bytes(6))
        self.assertEqual(
            reply(Rep.SUCCEEDED, IPv6Address("::1"), 443), b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x01\xbb"
        )

    def test_addresses(self) -> None:
        """An address is sent as what it is, a name as a name even when it looks like an address."""
        self.assertEqual(
            request(Command.CONNECT, IPv4Address("1.2.3.4"), 5), b"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x05"
        )
        self.assertEqual(request(Command.CONNECT, "1.2.3.4")[3], AddressType.DOMAIN)

    def test_name_too_long(self) -> None:
        """255 bytes of name fit, 256 and none do not; letters are counted as they travel."""
        self.assertEqual(len(request(Command.BIND, "n" * 255)), 262)
        for name in ("", "n" * 256, "ü" * 128):
            with self.assertRaises(MisuseError):
                request(Command.BIND, name)

    def test_numbers(self) -> None:
        """Commands, address types and replies have the numbers of the RFC."""
        self.assertEqual([int(one) for one in Command], [1, 2, 3])
        self.assertEqual([int(one) for one in AddressType], [1, 3, 4])
        self.assertEqual([int(one) for one in Rep], list(range(9)))
        self.assertEqual(request(Command.BIND, "x"), b"\x05\x02\x00\x03\x01x\x00\x00")

    def test_every_code_has_words(self) -> None:
        """A log line can say what a code means."""
        self.assertEqual(Rep.CONNECTION_REFUSED.meaning, "connection refused")
        self.assertEqual(len({rep.meaning for rep in Rep}), len(Rep))


class RequestParserTests(SynchronousTestCase):
    """The acceptor."""

    def test_in_one_piece(self) -> None:
        """Greeting, request and what follows it may come together."""
        wanted, rest = RequestParser().receive(open_request(Command.CONNECT, "svc.a", 7) + b"more")
        self.assertEqual(
            wanted,
            Request(command=Command.CONNECT, address_type=AddressType.DOMAIN, host="svc.a", port=7),
        )
        self.assertEqual(rest, b"more")

    def test_step_by_step(self) -> None:
        """An opener that waits for the method is told when the greeting is complete."""
        parser = RequestParser()
        parser.receive(b"\x05\x02\x00")
        self.assertFalse(parser.greeted)
        self.assertEqual(parser.receive(b"\x02"), (None, b""))
        self.assertTrue(parser.greeted)
        wanted, _ = parser.receive(memoryview(request(Command.BIND, "x")))
        self.assertEqual(wanted.command, Command.BIND)

    @given(st.sampled_from([Command.CONNECT, Command.BIND]), hosts, ports, st.binary(max_size=20))
    def test_byte_by_byte(self, command: Command, host: Host, port: int, more: bytes) -> None:
        """Every request is understood however it is split, and not a byte before it is complete."""
        parser = RequestParser()
        message = open_request(command, host, port)
        answers = [parser.receive(piece) for piece in byte_by_byte(message)]
        self.assertEqual(answers[:-1], [(None, b"")] * (len(message) - 1))
        wanted, rest = answers[-1]
        self.assertEqual((wanted.command, wanted.host, wanted.port, rest), (command, str(host), port, b""))
        self.assertEqual(RequestParser().receive(message + more), (wanted, more))

    def assert_refused(self, message: bytes, answer: bytes, words: str) -> None:
        """The parser refuses; with the method reply that follows the greeting, the opener gets `answer`, however the message comes."""
        for pieces in ([message], [message[:3], message[3:]], list(byte_by_byte(message))):
            parser = RequestParser()
            sent = b""
            with self.assertRaises(SocksError) as caught:
                for piece in pieces:
                    parser.receive(piece)
                    if parser.greeted and not sent:
                        sent = method_reply()
            self.assertEqual(sent + caught.exception.answer, answer)
            self.assertIn(words, str(caught.exception))

    def test_other_versions(self) -> None:
        """SOCKS 4 and HTTP are not taken for SOCKS 5."""
        self.assert_refused(b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", b"", "version 4")
        self.assert_refused(b"GET / HTTP/1.1", b"", "version 71")

    def test_other_version_of_the_request(self) -> None:
        """A request of another version than its greeting is refused."""
        parser = RequestParser()
        parser.receive(greeting())
        with self.assertRaises(SocksError):
            parser.receive(b"\x04\x01")

    def test_no_common_method(self) -> None:
        """A client that insists on a password, or offers nothing, is told so."""
        self.assert_refused(b"\x05\x01\x02", b"\x05\xff", "without SOCKS authentication")
        self.assert_refused(b"\x05\x00", b"\x05\xff", "without SOCKS authentication")

    def test_other_commands(self) -> None:
        """UDP is not relayed."""
        answer = method_reply() + reply(Rep.COMMAND_NOT_SUPPORTED)
        self.assert_refused(open_request(Command.UDP_ASSOCIATE, "x"), answer, "command 3")

    def test_other_address_types(self) -> None:
        """Type 2 does not exist."""
        answer = method_reply() + reply(Rep.ADDRESS_TYPE_NOT_SUPPORTED)
        self.assert_refused(greeting() + b"\x05\x01\x00\x02\x01x\x00\x00", answer, "address type 2")

    def test_bad_names(self) -> None:
        """A name that is empty, not UTF-8 or would spoil a log line is refused."""
        answer = method_reply() + reply(Rep.ADDRESS_TYPE_NOT_SUPPORTED)
        head = greeting() + b"\x05\x01\x00\x03"
        self.assert_refused(head + b"\x00\x00\x00", answer, "empty or not printable")
        self.assert_refused(head + b"\x02\xff\xfe\x00\x00", answer, "not UTF-8")
        self.assert_refused(head + b"\x03a\nb\x00\x00", answer, "empty or not printable")

    @given(st.lists(st.binary(max_size=30), max_size=30))
    def test_garbage(self, pieces: list[bytes]) -> None:
        """Whatever comes, the only exception is a SocksError, and little is kept."""
        parser = RequestParser()
        try:
            for piece in pieces:
                parser.receive(piece)
                self.assertLess(len(parser._buffer), 2 + 255 + 5 + 255 + 2 + 30)
        except SocksError as error:
            self.assertTrue(str(error))


class WholeRequestTests(SynchronousTestCase):
    """What an opener that runs ahead says in one piece."""

    @given(st.sampled_from([Command.CONNECT, Command.BIND]), hosts, ports, st.binary(min_size=1, max_size=20))
    def test_as_the_parser(self, command: Command, host: Host, port: int, more: bytes) -> None:
        """It is what the parser reads, when it is there and nothing else is; the longest fits."""
        message = open_request(command, host, port)
        self.assertLessEqual(len(message), REQUEST_MAXIMUM_BYTES)
        self.assertEqual(whole_request(message), RequestParser().receive(message)[0])
        for other in (message + more, *(message[:size] for size in range(len(message)))):
            self.assertIsNone(whole_request(other))

    def test_the_longest(self) -> None:
        """A name of 255 bytes fits exactly."""
        self.assertEqual(len(open_request(Command.CONNECT, "n" * NAME_MAXIMUM_BYTES)), REQUEST_MAXIMUM_BYTES)

    def test_refused(self) -> None:
        """What the parser refuses is refused, with the same answer."""
        with self.assertRaises(SocksError) as caught:
            whole_request(open_request(Command.UDP_ASSOCIATE, "x"))
        self.assertEqual(caught.exception.answer, method_reply() + reply(Rep.COMMAND_NOT_SUPPORTED))


class ReplyParserTests(SynchronousTestCase):
    """The opener."""

    def test_connected(self) -> None:
        """Method, reply and the first bytes may come together."""
        parser = ReplyParser()
        self.assertEqual(
            parser.receive(method_reply() + reply(Rep.SUCCEEDED) + b"bytes"),
            (Reply(code=Rep.SUCCEEDED, host="0.0.0.0", port=0), b"bytes"),
        )

    def test_step_by_step(self) -> None:
        """An opener that waits is told when the method was agreed to."""
        parser = ReplyParser()
        parser.receive(b"\x05")
        self.assertFalse(parser.method_accepted)
        self.assertEqual(parser.receive(b"\x00"), (None, b""))
        self.assertTrue(parser.method_accepted)

    def test_usual_reply(self) -> None:
        """The reply that nearly every dial ends with is understood when it comes alone, and again after it."""
        parser = ReplyParser()
        parser.receive(method_reply())
        for _ in range(2):
            self.assertEqual(
                parser.receive(reply(Rep.SUCCEEDED)), (Reply(code=Rep.SUCCEEDED, host="0.0.0.0", port=0), b"")
            )

    def test_bind_has_two_replies(self) -> None:
        """The second reply says that somebody has come, and the bytes follow it."""
        parser = ReplyParser()
        first, rest = parser.receive(method_reply() + reply(Rep.SUCCEEDED, "name", 1))
        self.assertEqual((first.host, first.port, rest), ("name", 1, b""))
        second, rest = parser.receive(reply(Rep.SUCCEEDED, IPv4Address("10.0.0.1"), 2) + b"x")
        self.assertEqual((second.host, second.port, rest), ("10.0.0.1", 2, b"x"))

    @given(st.sampled_from(Rep), hosts, ports, st.binary(max_size=20))
    def test_byte_by_byte(self, code: Rep, host: Host, port: int, more: bytes) -> None:
        """Every reply is understood however it is split, and not a byte before it is complete."""
        parser = ReplyParser()
        message = method_reply() + reply(code, host, port)
        answers = [parser.receive(piece) for piece in byte_by_byte(message)]
        self.assertEqual(answers[:-1], [(None, b"")] * (len(message) - 1))
        expected = Reply(code=code, host=str(host), port=port)
        self.assertEqual(answers[-1], (expected, b""))
        self.assertEqual(ReplyParser().receive(message + more), (expected, more))

    def test_unknown_code(self) -> None:
        """A code that the RFC does not have is a general failure."""
        answer, _ = ReplyParser().receive(method_reply() + b"\x05\x63\x00\x01" + bytes(6))
        self.assertEqual(answer.code, Rep.GENERAL_FAILURE)

    def test_not_socks(self) -> None:
        """Anything else than SOCKS 5 without authentication is refused."""
        for message in (
            b"HTTP/1.1 200 OK",
            b"\x05\xff",
            b"\x05\x02",
            method_reply() + b"\x04",
            method_reply() + b"\x05\x00\x00\x09.",
        ):
            for pieces in ([message], list(byte_by_byte(message))):
                parser = ReplyParser()
                with self.assertRaises(SocksError) as caught:
                    for piece in pieces:
                        parser.receive(piece)
                self.assertEqual(caught.exception.answer, b"")
