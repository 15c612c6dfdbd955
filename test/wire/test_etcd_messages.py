"""What is said to etcd, and what can be made of its answers. The answers here are those of etcd 3.4.23 and 3.5, to the letter."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError, ProtocolError
from kwic.wire.cluster_messages import Hello, State
from kwic.wire.etcd_messages import (
    DENIED,
    LINE_MAXIMUM_BYTES,
    NOT_FOUND,
    NUMBER_MAXIMUM,
    UNAUTHENTICATED,
    Deleted,
    EtcdMessageError,
    KeyValue,
    Lease,
    Refusal,
    Snapshot,
    WatchCreated,
    WatchEnded,
    WatchEvent,
    WatchReader,
    Written,
    authenticate_request,
    decode_entry,
    encode_entry,
    grant_request,
    lease_request,
    members_prefix,
    parse_done,
    parse_grant,
    parse_kept_alive,
    parse_refusal,
    parse_snapshot,
    parse_token,
    put_request,
    range_request,
    watch_request,
)
from test.wire.pair import byte_by_byte

HEADER = '"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"5","raft_term":"2"}'
HELLO = Hello(cluster="kzha", instance="i", node="cloud1", incarnation=7, accept="tcp://10.0.0.1:5941")
STATE = State(incarnation=7, counter=2, names={"a": 1}, load=3)
PARSERS: tuple[Callable[[bytes], Any], ...] = (
    parse_snapshot,
    parse_grant,
    parse_kept_alive,
    parse_done,
    parse_token,
    WatchReader().receive,
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("aGk=")
names = st.sampled_from(
    [
        "header",
        "revision",
        "kvs",
        "key",
        "value",
        "mod_revision",
        "more",
        "ID",
        "TTL",
        "token",
        "result",
        "error",
        "message",
        "code",
        "created",
        "canceled",
        "events",
        "type",
        "kv",
        "compact_revision",
        "cancel_reason",
        "grpc_code",
    ]
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=20,
)


def base64(data: bytes) -> str:
    return b64encode(data).decode()


class EntryTests(SynchronousTestCase):
    """A member as it stands in etcd."""

    def test_round_trip(self) -> None:
        """What one member writes, another reads."""
        self.assertEqual(decode_entry(encode_entry(HELLO, STATE)), (HELLO, STATE))

    def test_is_readable(self) -> None:
        """An entry is two lines of JSON, so that an operator can read it with etcdctl."""
        hello, state = map(json.loads, encode_entry(HELLO, STATE).split(b"\n"))
        self.assertEqual((hello["node"], state["names"]), ("cloud1", {"a": 1}))

    def test_too_long(self) -> None:
        """A state that is longer than a message may be is not written."""
        state = State(incarnation=1, counter=1, names={f"{n:01000}": 1 for n in range(1100)})
        self.assertRaises(MisuseError, encode_entry, HELLO, state)

    def test_something_else(self) -> None:
        """What is not hello and state is refused."""
        good = encode_entry(HELLO, STATE)
        hello, _, state = good.partition(b"\n")
        for value in (
            b"",
            b"\n",
            hello,
            state,
            state + b"\n" + hello,
            hello + b"\n{}",
            good + b"\n" + state,
            b"\xff\n",
        ):
            self.assertRaises(ProtocolError, decode_entry, value)

    @given(st.binary(max_size=200))
    def test_garbage(self, value: bytes) -> None:
        """Nothing that stands there fails in any other way."""
        for candidate in (value, value + b"\n" + value, encode_entry(HELLO, STATE)[:-1] + value):
            try:
                decode_entry(candidate)
            except ProtocolError:
                pass

    def test_prefix(self) -> None:
        """The name of a cluster cannot reach into another's keys."""
        self.assertEqual(members_prefix("kzha"), b"/kwic/kzha/members/")
        self.assertEqual(members_prefix("a/members/b ü"), b"/kwic/a%2Fmembers%2Fb%20%C3%BC/members/")


class RequestTests(SynchronousTestCase):
    """What is said."""

    def test_put(self) -> None:
        """Keys and values are base64, numbers of 64 bits are texts."""
        self.assertEqual(
            put_request(b"/k/a", b"\xffhello", 77),
            b'{"key":"L2svYQ==","value":"/2hlbGxv","lease":"77"}',
        )

    def test_range(self) -> None:
        """A prefix is a range up to its successor."""
        self.assertEqual(
            range_request(b"/k/", 5),
            b'{"key":"L2sv","range_end":"L2sw","limit":"5","keys_only":false}',
        )
        self.assertIn(b'"keys_only":true', range_request(b"/k/", 5, keys_only=True))

    def test_range_without_an_end(self) -> None:
        """A prefix without a successor is a mistake of ours."""
        for prefix in (b"", b"a\xff"):
            self.assertRaises(MisuseError, range_request, prefix, 5)

    def test_watch(self) -> None:
        """A watch begins at a revision."""
        self.assertEqual(
            json.loads(watch_request(b"/k/", 9)),
            {"create_request": {"key": "L2sv", "range_end": "L2sw", "start_revision": "9"}},
        )

    def test_leases_and_users(self) -> None:
        """The small requests."""
        self.assertEqual(grant_request(5), b'{"TTL":"5"}')
        self.assertEqual(lease_request(NUMBER_MAXIMUM), b'{"ID":"9223372036854775807"}')
        self.assertEqual(json.loads(authenticate_request("gw", 'a"ü\n')), {"name": "gw", "password": 'a"ü\n'})


class AnswerTests(SynchronousTestCase):
    """What is answered."""

    def test_snapshot(self) -> None:
        """Keys with their values and revisions."""
        body = (
            f'{{{HEADER},"kvs":[{{"key":"L2t3aWMvay9tZW1iZXJzL2E=","create_revision":"2","mod_revision":"2","version":"1",'
            '"value":"aGVsbG8=","lease":"77"},{"key":"YQ==","mod_revision":"3"}],"count":"2"}'
        )
        self.assertEqual(
            parse_snapshot(body.encode()),
            Snapshot(
                revision=5,
                entries=(
                    KeyValue(key=b"/kwic/k/members/a", value=b"hello", revision=2),
                    KeyValue(key=b"a", value=b"", revision=3),
                ),
                is_whole=True,
            ),
        )

    def test_empty_snapshot(self) -> None:
        """What is empty is left out."""
        self.assertEqual(
            parse_snapshot(f"{{{HEADER}}}".encode()), Snapshot(revision=5, entries=(), is_whole=True)
        )
        self.assertFalse(parse_snapshot(f'{{{HEADER},"more":true}}'.encode()).is_whole)

    def test_grant(self) -> None:
        """A lease has a number and a time."""
        body = f'{{{HEADER},"ID":"7587899114083958278","TTL":"5"}}'.encode()
        self.assertEqual(parse_grant(body), Lease(identity=7587899114083958278, ttl_s=5))
        for broken in (b"{}", b'{"ID":"7"}', b'{"TTL":"5"}', b'{"ID":"-7","TTL":"5"}'):
            self.assertRaises(EtcdMessageError, parse_grant, broken)

    def test_kept_alive(self) -> None:
        """A lease that is gone has no time left."""
        self.assertEqual(parse_kept_alive(f'{{"result":{{{HEADER},"ID":"77","TTL":"5"}}}}\n'.encode()), 5)
        self.assertEqual(parse_kept_alive(f'{{"result":{{{HEADER},"ID":"79"}}}}\n'.encode()), 0)

    def test_kept_alive_failed(self) -> None:
        """A stream may fail after it has begun; what it says is told."""
        for body in (
            b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"x"}}',
            b'{"error":{"code":14,"message":"etcdserver: no leader","details":[]}}',
            b'{"error":"etcdserver: no leader"}',
        ):
            with self.assertRaises(EtcdMessageError) as caught:
                parse_kept_alive(body)
            self.assertEqual(str(caught.exception), "no leader")
        with self.assertRaises(EtcdMessageError) as caught:
            parse_kept_alive(b'{"error":null}')
        self.assertEqual(str(caught.exception), "it failed")

    def test_done(self) -> None:
        """Any object will do."""
        parse_done(f"{{{HEADER}}}".encode())
        self.assertRaises(EtcdMessageError, parse_done, b"[]")

    def test_token(self) -> None:
        """A token goes into a header: it must be a text of one line."""
        self.assertEqual(parse_token(b'{"token":"sssvIpwfnLAcWAQH.9"}'), "sssvIpwfnLAcWAQH.9")
        for broken in (
            b"{}",
            b'{"token":7}',
            b'{"token":""}',
            b'{"token":"a\\r\\nb"}',
            '{"token":"ü"}'.encode(),
        ):
            self.assertRaises(EtcdMessageError, parse_token, broken)

    def test_numbers(self) -> None:
        """A number is digits or a JSON number, and has 63 bits at most."""
        for body in (b'{"header":{"revision":5}}', b'{"header":{"revision":"5"}}'):
            self.assertEqual(parse_snapshot(body).revision, 5)
        for number in (
            '"9223372036854775808"',
            "9223372036854775808",
            '"-1"',
            '""',
            '"1e3"',
            '"²"',
            "true",
            "1.5",
            "null",
        ):
            broken = f'{{"header":{{"revision":{number}}}}}'.encode()
            self.assertRaises(EtcdMessageError, parse_snapshot, broken)

    def test_broken_answers(self) -> None:
        """What is not as it should be is refused."""
        for body in (
            b"",
            b"{",
            b"\xff",
            b"NaN",
            b'{"header":NaN}',
            b"[" * 100_000,
            b"{}",
            b"null",
            b'{"header":{},"kvs":{}}',
            b'{"header":{},"kvs":[7]}',
            b'{"header":{},"kvs":[{"key":7}]}',
            b'{"header":{},"kvs":[{"key":"a"}]}',
            b'{"header":{},"kvs":[{"key":"a b="}]}',
            '{"header":{},"kvs":[{"key":"ü"}]}'.encode(),
            b'{"header":{},"more":1}',
        ):
            self.assertRaises(EtcdMessageError, parse_snapshot, body)


class RefusalTests(SynchronousTestCase):
    """Why something was not done."""

    def test_forms(self) -> None:
        """The forms that gateways of different versions have."""
        old = b'{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}'
        new = b'{"code":7, "message":"etcdserver: permission denied", "details":[]}'
        self.assertEqual(parse_refusal(404, old), Refusal(code=NOT_FOUND, why="requested lease not found"))
        self.assertEqual(parse_refusal(403, new), Refusal(code=DENIED, why="permission denied"))
        self.assertEqual(
            parse_refusal(401, b'{"error":"etcdserver: invalid auth token","code":16}'),
            Refusal(code=UNAUTHENTICATED, why="invalid auth token"),
        )

    def test_from_something_else(self) -> None:
        """Whatever stands in between may answer anything."""
        for body in (
            b"",
            b"<html>",
            b"{}",
            b'{"message":7,"code":"x"}',
            b'{"code":99}',
            b'{"code":-1}',
        ):
            self.assertEqual(parse_refusal(502, body), Refusal(code=0, why="HTTP status 502"))

    def test_in_words(self) -> None:
        """What is said in plain words is told."""
        self.assertEqual(parse_refusal(404, b"Not Found\n").why, "HTTP status 404: Not Found")
        said = parse_refusal(400, b"a\r\nb\x1b\xff" + b"x" * 10_000).why
        self.assertTrue(said.isprintable())
        self.assertLessEqual(len(said), 220)

    def test_is_one_short_line(self) -> None:
        """What is told can be written to a log."""
        refusal = parse_refusal(400, json.dumps({"message": "a\r\nb\x1b" + "x" * 10_000}).encode())
        self.assertTrue(refusal.why.isprintable())
        self.assertLessEqual(len(refusal.why), 200)


class WatchTests(SynchronousTestCase):
    """What a watch tells."""

    STREAM = (
        f'{{"result":{{{HEADER},"created":true}}}}\n'
        f'{{"result":{{{HEADER},"events":[{{"kv":{{"key":"YQ==","create_revision":"3","mod_revision":"3","version":"1","value":"aGk="}}}},'
        '{"type":"DELETE","kv":{"key":"Yg==","mod_revision":"4"}}]}}\n'
        "\n"
        f'{{"result":{{{HEADER}}}}}\n'
        f'{{"result":{{{HEADER},"events":[{{"type":"PUT","kv":{{"key":"YQ==","mod_revision":"5"}}}}]}}}}\n'
        f'{{"result":{{{HEADER},"canceled":true,"compact_revision":"4"}}}}\n'
    ).encode()
    EVENTS: tuple[WatchEvent, ...] = (
        WatchCreated(),
        Written(entry=KeyValue(key=b"a", value=b"hi", revision=3)),
        Deleted(key=b"b", revision=4),
        Written(entry=KeyValue(key=b"a", value=b"", revision=5)),
        WatchEnded(why="its history before revision 4 is gone"),
    )

    def test_any_split(self) -> None:
        """Events come whole and in order, however the bytes are split."""
        self.assertEqual(WatchReader().receive(self.STREAM), list(self.EVENTS))
        reader = WatchReader()
        self.assertEqual(
            [event for piece in byte_by_byte(self.STREAM) for event in reader.receive(piece)],
            list(self.EVENTS),
        )
        for cut in range(len(self.STREAM)):
            reader = WatchReader()
            events = reader.receive(self.STREAM[:cut]) + reader.receive(self.STREAM[cut:])
            self.assertEqual(events, list(self.EVENTS))

    def test_ended(self) -> None:
        """A watch that ends says why, if it can."""
        for result, why in (
            ('"canceled":true,"cancel_reason":"etcdserver: permission denied"', "permission denied"),
            ('"canceled":true', "it gave no reason"),
            ('"created":true,"canceled":true,"cancel_reason":7', "it gave no reason"),
        ):
            events = WatchReader().receive(f'{{"result":{{{HEADER},{result}}}}}\n'.encode())
            self.assertEqual(events[-1], WatchEnded(why=why))

    def test_longest_line(self) -> None:
        """A line may be 16 MiB long; one that is longer is refused before its end has come."""
        reader = WatchReader()
        self.assertEqual(reader.receive(b" " * LINE_MAXIMUM_BYTES), [])
        self.assertRaises(EtcdMessageError, reader.receive, b" ")
        self.assertRaises(EtcdMessageError, WatchReader().receive, b"\n" + b" " * (LINE_MAXIMUM_BYTES + 1))

    def test_many_pieces_cost_little(self) -> None:
        """A long line in many pieces is not searched again and again."""
        reader = WatchReader()
        for _ in range(100_000):
            reader.receive(b"          ")
        self.assertEqual(reader.receive(b"\n" + self.STREAM), list(self.EVENTS))

    def test_broken(self) -> None:
        """What is no event is refused."""
        for line in (
            b"{}",
            b"[]",
            b'{"result":7}',
            b'{"result":{"created":7}}',
            b'{"result":{"events":{}}}',
            b'{"result":{"events":[{}]}}',
            b'{"result":{"events":[{"type":"RENAME","kv":{}}]}}',
            b'{"result":{"canceled":true,"compact_revision":"x"}}',
            b'{"error":{"message":"x"}}',
            b"\xff",
        ):
            self.assertRaises(EtcdMessageError, WatchReader().receive, line + b"\n")


class GarbageTests(SynchronousTestCase):
    """Nothing that comes fails in any other way than it should."""

    def check(self, body: bytes) -> None:
        for parse in PARSERS:
            try:
                parse(body)
            except ProtocolError:
                pass
        try:
            WatchReader().receive(body + b"\n")
        except ProtocolError:
            pass
        self.assertTrue(parse_refusal(500, body).why.isprintable())

    @given(st.binary(max_size=300))
    def test_bytes(self, body: bytes) -> None:
        """Any bytes."""
        self.check(body)

    @given(trees)
    def test_trees(self, tree: Any) -> None:
        """Any JSON, with the names that are known in any place."""
        self.check(json.dumps(tree).encode())
        self.check(json.dumps({"result": tree}).encode())

    @given(st.data())
    def test_damage(self, choose: st.DataObject) -> None:
        """A good stream with a byte changed, or cut anywhere."""
        stream = bytearray(WatchTests.STREAM)
        stream[choose.draw(st.integers(0, len(stream) - 1))] = choose.draw(st.integers(0, 255))
        self.check(bytes(stream))
        self.check(bytes(stream[: choose.draw(st.integers(0, len(stream)))]))
