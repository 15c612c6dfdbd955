"""The messages of the cluster."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.errors import MisuseError
from kwic.wire.cluster_messages import (
    MESSAGE_MAXIMUM_BYTES,
    NUMBER_MAXIMUM,
    TEXT_MAXIMUM_CHARACTERS,
    Announce,
    ClusterMessageError,
    Heartbeat,
    Hello,
    Known,
    Leaving,
    Message,
    MessageReader,
    State,
    decode_body,
    encode,
    encode_body,
)
from test.wire.pair import byte_by_byte

texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)
numbers = st.integers(0, NUMBER_MAXIMUM)
messages = st.one_of(
    st.builds(Hello, cluster=texts, instance=texts, node=texts, incarnation=numbers, accept=texts),
    st.builds(
        State,
        incarnation=numbers,
        counter=numbers,
        balances=st.dictionaries(texts, st.lists(texts, max_size=3).map(tuple), max_size=3),
        names=st.dictionaries(texts, numbers, max_size=3),
        load=numbers,
        leaving=st.booleans(),
    ),
    st.builds(Heartbeat, counter=numbers),
    st.builds(Leaving, incarnation=numbers),
    st.builds(Announce, cluster=texts, instance=texts, accept=texts),
    st.builds(Known, accepts=st.lists(texts, max_size=5).map(tuple)),
)
STATE = {"type": "state", "incarnation": 1, "counter": 2}
HELLO = {"type": "hello", "cluster": "c", "instance": "i", "node": "n", "incarnation": 1}


def framed(body: bytes) -> bytes:
    """A body behind its length."""
    return len(body).to_bytes(4, "big") + body


class RoundTripTests(SynchronousTestCase):
    """What one member says, the other hears."""

    @given(st.lists(messages, max_size=5), st.data())
    def test_any_split(self, sent: list[Message], choose: st.DataObject) -> None:
        """Messages arrive whole and in order, however the bytes are split."""
        stream = b"".join(encode(message) for message in sent)
        self.assertEqual(MessageReader().receive(stream), sent)
        cut = choose.draw(st.integers(0, len(stream)))
        reader = MessageReader()
        self.assertEqual(reader.receive(stream[:cut]) + reader.receive(memoryview(stream)[cut:]), sent)
        reader = MessageReader()
        self.assertEqual([found for piece in byte_by_byte(stream) for found in reader.receive(piece)], sent)

    @given(messages)
    def test_datagram(self, message: Message) -> None:
        """A message can stand alone in a datagram."""
        self.assertEqual(decode_body(encode_body(message)), message)

    def test_on_the_wire(self) -> None:
        """A heartbeat is its length and a small object."""
        self.assertEqual(encode(Heartbeat(counter=7)), b'\x00\x00\x00\x20{"type":"heartbeat","counter":7}')


class NeighbourVersionTests(SynchronousTestCase):
    """Members of other versions."""

    def test_unknown_messages_and_fields(self) -> None:
        """What is not known is ignored, what follows it is heard."""
        body = json.dumps({**STATE, "colour": {"deep": [1, 2]}}).encode()
        found = MessageReader().receive(framed(b'{"type":"gossip","x":1}') + framed(body))
        self.assertEqual(found, [State(incarnation=1, counter=2)])

    def test_largest_fields(self) -> None:
        """A text of 1024 characters and the number 2⁵³ − 1 are the largest that are taken."""
        largest = {**HELLO, "node": "n" * 1024, "incarnation": 9_007_199_254_740_991}
        self.assertEqual(
            decode_body(json.dumps(largest).encode()),
            Hello(cluster="c", instance="i", node="n" * 1024, incarnation=2**53 - 1),
        )

    def test_longest_message(self) -> None:
        """A message of 1 MiB is sent and taken."""
        short = len(encode_body(Announce(cluster="", instance="i", accept="")))
        longest = Announce(cluster="", instance="i", accept="a" * (1_048_576 - short))
        self.assertEqual(len(encode_body(longest)), 1_048_576)
        state = State(incarnation=1, counter=1, names={f"{n:01000}": 1 for n in range(1000)})
        self.assertEqual(MessageReader().receive(encode(state)), [state])

    def test_optional_fields(self) -> None:
        """Only what has no sensible default must be there."""
        self.assertEqual(
            decode_body(json.dumps(HELLO).encode()),
            Hello(cluster="c", instance="i", node="n", incarnation=1),
        )


class RefusalTests(SynchronousTestCase):
    """What is no message."""

    def assert_refused(self, body: bytes) -> None:
        """The reader refuses it."""
        with self.assertRaises(ClusterMessageError) as caught:
            MessageReader().receive(framed(body))
        self.assertTrue(str(caught.exception))

    def test_too_long(self) -> None:
        """A length over the limit is refused before a byte of the message has come; one at the limit is waited for."""
        with self.assertRaises(ClusterMessageError):
            MessageReader().receive((MESSAGE_MAXIMUM_BYTES + 1).to_bytes(4, "big"))
        self.assertEqual(MessageReader().receive(MESSAGE_MAXIMUM_BYTES.to_bytes(4, "big")), [])

    def test_too_long_to_send(self) -> None:
        """We do not send what nobody would take."""
        state = State(incarnation=1, counter=1, names={f"{n:01000}": 1 for n in range(1100)})
        with self.assertRaises(MisuseError):
            encode(state)

    def test_no_json(self) -> None:
        """Anything but one JSON object with a type is refused, nonsense that fools parsers included."""
        deep = b"[" * 200_000
        digits = b'{"type":"heartbeat","counter":' + b"9" * 5000 + b"}"
        for body in (
            b"",
            b"{",
            b"\xff",
            b"[]",
            b"7",
            b"{}",
            b'{"type":1}',
            deep,
            digits,
            b'{"type":"x","y":NaN}',
        ):
            self.assert_refused(body)

    def test_fields_of_the_wrong_kind(self) -> None:
        """A known field must be what it should be."""
        long = "x" * (TEXT_MAXIMUM_CHARACTERS + 1)
        for wrong in (
            {**STATE, "incarnation": None},
            {**STATE, "incarnation": "1"},
            {**STATE, "counter": -1},
            {**STATE, "counter": 1.5},
            {**STATE, "counter": True},
            {**STATE, "counter": NUMBER_MAXIMUM + 1},
            {**STATE, "load": []},
            {**STATE, "leaving": 1},
            {**STATE, "names": ["a"]},
            {**STATE, "names": {"a": "b"}},
            {**STATE, "names": {long: 1}},
            {**STATE, "balances": {"a": "b"}},
            {**STATE, "balances": {"a": [1]}},
            {**HELLO, "cluster": "two\nlines"},
            {**HELLO, "node": "\ud800"},
            {**HELLO, "accept": long},
            {"type": "hello"},
            {"type": "state"},
            {"type": "heartbeat"},
            {"type": "leaving"},
            {"type": "announce"},
        ):
            self.assert_refused(json.dumps(wrong).encode())

    @given(st.lists(st.binary(max_size=40), max_size=10))
    def test_garbage(self, pieces: list[bytes]) -> None:
        """Whatever comes, the only exception is a ClusterMessageError."""
        reader = MessageReader()
        try:
            for piece in pieces:
                reader.receive(piece)
        except ClusterMessageError as error:
            self.assertTrue(str(error))

    @given(
        st.dictionaries(
            st.sampled_from(
                ["type", "incarnation", "counter", "names", "balances", "load", "leaving", "cluster"]
            ),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(max_size=9)
                | st.sampled_from(["hello", "state", "heartbeat", "leaving", "announce"]),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
                ),
                max_leaves=5,
            ),
        )
    )
    def test_random_objects(self, fields: dict[str, object]) -> None:
        """Nor is any JSON object able to raise anything else."""
        try:
            decode_body(json.dumps(fields).encode())
        except ClusterMessageError as error:
            self.assertTrue(str(error))
