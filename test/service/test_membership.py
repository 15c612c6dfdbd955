"""Tests of what every membership shares, and of the one without a cluster."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from kwic.service.membership import Alone, Member, Membership, OwnState
from kwic.wire.kwic_headers import Nodes


class Company(Membership):
    """A membership that the test makes up."""

    def __init__(self) -> None:
        super().__init__()
        self.others: tuple[Member, ...] = ()

    def members(self) -> tuple[Member, ...]:
        return self.others


class Acceptor:
    """Takes whatever is to talk on a stream."""

    def __init__(self) -> None:
        self.transport = StringTransport()
        self.protocol: Any = None

    def accept_with(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self.transport)


def member(name: str, **facts: Any) -> Member:
    return Member(instance=name, node=name, **facts)


class MembershipTests(SynchronousTestCase):
    """What every membership shares."""

    def test_count(self) -> None:
        """Members that are suspected or leaving do not count, nor do we when we leave."""
        company = Company()
        self.assertEqual(company.count, 1)
        company.others = (member("a"), member("b", suspect=True), member("c", leaving=True))
        self.assertEqual(company.count, 2)
        company.leave()
        self.assertEqual(company.count, 1)

    def test_version(self) -> None:
        """The version grows with each change of the members that count, ourselves included, and with nothing else."""
        company = Company()
        calls: list[int] = []
        company.watch(lambda: calls.append(company.version))
        company.others = (member("a"),)
        company.changed()
        company.changed()
        company.others = (member("a", load=5),)
        company.changed()
        company.others = (member("b"),)
        company.changed()
        company.leave()
        company.leave()
        self.assertEqual(calls, [1, 1, 1, 2, 3])

    def test_leave_keeps_the_rest(self) -> None:
        """Leaving changes nothing else of what we have published."""
        company = Company()
        company.publish(OwnState(names={"a": 1}, load=3))
        company.leave()
        self.assertEqual(company.own, OwnState(names={"a": 1}, load=3, leaving=True))

    def test_tell_nodes(self) -> None:
        """Whoever asks is told how many nodes take tunnels where it dialled, now and whenever that changes."""
        company = Company()
        acceptor: Any = Acceptor()
        company.tell_nodes(acceptor, DOOR)
        company.others = (member("a", tunnels=DOOR), member("b", tunnels=DOOR), member("c"))
        company.changed()
        company.changed()
        self.assertEqual(acceptor.transport.value(), b"0 1\n1 3\n")
        self.assertEqual(company.nodes(DOOR), Nodes(version=1, count=3))
        self.assertEqual(company.nodes(frozenset({"wss://elsewhere:443/kwic"})), Nodes(version=1, count=1))


DOOR = frozenset({"wss://example.com:443/kwic"})


class AloneTests(SynchronousTestCase):
    """An instance without a cluster."""

    def test_alone(self) -> None:
        """There is nobody, and nobody can say how many nodes there are."""
        alone = Alone()
        alone.check()
        alone.startService()
        alone.publish(OwnState(load=1))
        self.assertEqual((alone.members(), alone.count, alone.nodes(DOOR)), ((), None, None))
        self.assertIsNone(alone.path(member("a"), "name"))
        self.assertEqual(alone.own.load, 1)
        acceptor: Any = Acceptor()
        alone.tell_nodes(acceptor, DOOR)
        alone.leave()
        self.assertEqual(acceptor.transport.value(), b"")
        alone.stopService()
