"""The headers of the upgrade."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.wire.kwic_headers import (
    INSTANCE_HEADER,
    MET_HEADER,
    MET_MAXIMUM,
    NODES_HEADER,
    SOCKS_SUBPROTOCOL,
    TUNNEL_SUBPROTOCOL,
    Instance,
    Nodes,
    format_instance,
    format_met,
    format_nodes,
    parse_instance,
    parse_met,
    parse_nodes,
)

ONE = "0d9b2a8e-7f3c-4c55-9d3e-0123456789ab"
OTHER = "11111111-2222-3333-4444-555555555555"


class NameTests(SynchronousTestCase):
    """What peers of every version look for."""

    def test_names(self) -> None:
        """Subprotocols and headers are called what the protocol page calls them."""
        self.assertEqual((TUNNEL_SUBPROTOCOL, SOCKS_SUBPROTOCOL), ("kwic.1", "socks"))
        self.assertEqual(
            (INSTANCE_HEADER, NODES_HEADER, MET_HEADER), ("Kwic-Instance", "Kwic-Nodes", "Kwic-Met")
        )


class InstanceTests(SynchronousTestCase):
    """Who is at the other end."""

    def test_round_trip(self) -> None:
        """What is written is read."""
        instance = Instance(uuid=ONE, node="cloud1.example.com")
        self.assertEqual(format_instance(instance), f"{ONE} cloud1.example.com")
        self.assertEqual(parse_instance(format_instance(instance)), instance)

    def test_forgiving(self) -> None:
        """Blanks, capitals and a missing name do no harm."""
        self.assertEqual(parse_instance(f"  {ONE.upper()}  n "), Instance(uuid=ONE, node="n"))
        self.assertEqual(parse_instance(ONE), Instance(uuid=ONE, node=""))
        self.assertEqual(parse_instance(f"{ONE} {'n' * 255}"), Instance(uuid=ONE, node="n" * 255))

    def test_unreadable(self) -> None:
        """What cannot be read is as good as absent."""
        for value in (
            None,
            "",
            "node",
            f"{ONE[:-1]} n",
            f"{{{ONE}}} n",
            f"{ONE} {'n' * 256}",
            f"{ONE} a\x1bb",
        ):
            self.assertIsNone(parse_instance(value), value)


class NodesTests(SynchronousTestCase):
    """How many nodes there are."""

    def test_round_trip(self) -> None:
        """What is written is read."""
        self.assertEqual(format_nodes(Nodes(version=17, count=3)), "17 3")
        self.assertEqual(parse_nodes(" 17  3 "), Nodes(version=17, count=3))
        self.assertEqual(parse_nodes("9" * 18 + " 0"), Nodes(version=10**18 - 1, count=0))

    def test_unreadable(self) -> None:
        """What cannot be read is as good as absent."""
        for value in (None, "", "1", "1 2 3", "1 x", "-1 2", "1 ²", f"1 {'9' * 19}", f"1 {'9' * 5000}"):
            self.assertIsNone(parse_nodes(value), value)


class MetTests(SynchronousTestCase):
    """Whom the dialler has met."""

    def test_round_trip(self) -> None:
        """What is written is read."""
        self.assertEqual(format_met([ONE, OTHER]), f"{ONE}, {OTHER}")
        self.assertEqual(parse_met(format_met([ONE, OTHER])), {ONE, OTHER})
        self.assertEqual(parse_met(format_met([])), frozenset())

    def test_unreadable_entries(self) -> None:
        """What cannot be read is left out, the rest counts."""
        self.assertEqual(parse_met(f"x,,{ONE.upper()} ,{OTHER[:-1]}"), {ONE})
        self.assertEqual(parse_met(None), frozenset())

    def test_too_many(self) -> None:
        """128 instances are named and read."""
        many = [str(UUID(int=n)) for n in range(MET_MAXIMUM + 5)]
        self.assertEqual(format_met(many).count(","), MET_MAXIMUM - 1)
        self.assertEqual(parse_met(",".join(many)), frozenset(many[:MET_MAXIMUM]))


class GarbageTests(SynchronousTestCase):
    """Headers from anywhere."""

    @given(st.text(max_size=80))
    def test_nothing_raises(self, value: str) -> None:
        """No value makes a parser raise."""
        parse_instance(value)
        parse_nodes(value)
        parse_met(value)
