"""Tests of the balancer: which member a client is sent to."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import Address, Service
from kwic.config.problem import Place
from kwic.service.balancer import RECENT_S, Balancer, Balances, location_of
from kwic.service.context import Context
from kwic.service.membership import Alone, Member, Membership, OwnState
from kwic.transport.websocket_server import Redirect, Refuse, UpgradeRequest
from kwic.wire.http_head import Headers

OWN = "00000000-0000-4000-8000-000000000000"
OTHER = "11111111-1111-4111-8111-111111111111"
THIRD = "22222222-2222-4222-8222-222222222222"


def address(scheme: str = "wss", host: str = "example.com", port: int = 443, path: str = "/b") -> Address:
    return Address(text="", scheme=scheme, host=host, port=port, path=path)


def service(*accepts: Address) -> Service:
    place = Place(file="x.xml", line=1, column=1, path="/gateway-config/service")
    return Service(name="balancer", type="balancer", accepts=accepts or (address(),), place=place)


def member(instance: str, host: str, **facts) -> Member:
    balances = {str(address()): (str(address(host=host)),)}
    return Member(instance=instance, node=host, **{"balances": balances, **facts})


class Company(Membership):
    """A membership that the test makes up."""

    def __init__(self, *members: Member) -> None:
        super().__init__()
        self.others = members

    def members(self):
        return self.others

    def path(self, member, name):
        return None


class Crowd:
    """So many relays."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


class BalancerTests(SynchronousTestCase):
    """A balancer answers each request with the member to go to."""

    def balancer(self, membership: Membership, *accepts: Address, load: int = 0) -> Balancer:
        self.clock = Clock()
        context = Context(reactor=self.clock, instance=OWN, relays=Crowd(load))  # type: ignore[arg-type]
        return Balancer(service(*accepts), membership, context, draw=lambda: 0.5)

    def ask(
        self, balancer: Balancer, met: str = "", host: str = "example.com:443", path: str = "/b", secure=True
    ):
        return balancer.answer(
            UpgradeRequest(
                host=host,
                path=path,
                query="",
                secure=secure,
                origin=None,
                protocols=(),
                headers=Headers((("kwic-met", met),) if met else ()),
                peer=IPv4Address("TCP", "192.0.2.1", 1),
            )
        )

    def test_sends_to_the_only_member(self) -> None:
        """A client goes to the accept of the member, with https for wss and the port explicit."""
        balancer = self.balancer(Company(member(OTHER, "cloud2")))
        self.assertEqual(self.ask(balancer), Redirect(location="https://cloud2:443/b"))
        self.assertEqual(balancer.redirected, 1)

    def test_own_services_are_members(self) -> None:
        """Without a cluster the services of this instance are the members."""
        alone = Alone()
        balances = Balances()
        balancer = self.balancer(alone)
        balances.register(address(), address(host="cloud1"))
        alone.publish(OwnState(balances=balances.offered()))
        self.assertEqual(self.ask(balancer), Redirect(location="https://cloud1:443/b"))

    def test_nobody(self) -> None:
        """Without a live member the client is told to try again in a second."""
        balancer = self.balancer(Alone())
        refusal = self.ask(balancer)
        self.assertIsInstance(refusal, Refuse)
        self.assertEqual((refusal.status, refusal.headers), (503, {"Retry-After": "1"}))
        self.assertEqual(balancer.refused, 1)

    def test_withdrawn(self) -> None:
        """A service whose back end is down is withdrawn and comes back by itself, others stay."""
        alone, balances = Alone(), Balances()
        balances.watch(lambda: alone.publish(OwnState(balances=balances.offered())))
        balancer = self.balancer(alone)
        withdraw = balances.register(address(), address(host="cloud1"))
        balances.register(address(path="/other"), address(host="cloud1", path="/other"))
        withdraw()
        withdraw()
        self.assertIsInstance(self.ask(balancer), Refuse)
        self.assertEqual(list(balances.offered()), [str(address(path="/other"))])
        balances.register(address(), address(host="cloud1"))
        self.assertEqual(self.ask(balancer), Redirect(location="https://cloud1:443/b"))

    def test_two_services_at_one_accept(self) -> None:
        """An accept that two registrations name is offered once, until both are gone."""
        balances = Balances()
        first = balances.register(address(), address(host="a"))
        balances.register(address(), address(host="a"))
        balances.register(address(), address(host="b"))
        self.assertEqual(balances.offered()[str(address())], (str(address(host="a")), str(address(host="b"))))
        first()
        self.assertIn(str(address(host="a")), balances.offered()[str(address())])

    def test_fewest_connections(self) -> None:
        """The member with the fewest open connections is taken, this instance's own count included."""
        company = Company(member(OTHER, "cloud2", load=7), member(THIRD, "cloud3", load=5))
        company.publish(OwnState(balances={str(address()): (str(address(host="cloud1")),)}))
        self.assertEqual(self.ask(self.balancer(company, load=6)), Redirect(location="https://cloud3:443/b"))
        self.assertEqual(self.ask(self.balancer(company, load=4)), Redirect(location="https://cloud1:443/b"))

    def test_burst_is_spread(self) -> None:
        """Clients sent within the last moment count, so that a burst does not go to one member."""
        balancer = self.balancer(
            Company(member(OTHER, "cloud2", load=2), member(THIRD, "cloud3", load=0)), load=0
        )
        places = [self.ask(balancer).location for _ in range(10)]
        self.assertEqual(places.count("https://cloud2:443/b"), 4)
        self.assertEqual(places.count("https://cloud3:443/b"), 6)
        self.clock.advance(RECENT_S)
        self.assertEqual(self.ask(balancer).location, "https://cloud3:443/b")

    def test_ties_at_random(self) -> None:
        """Among equals the dice decide."""
        members = [member(OTHER, "cloud2"), member(THIRD, "cloud3")]
        for throws, wanted in (([0.1, 0.9], "cloud2"), ([0.9, 0.1], "cloud3")):
            balancer = Balancer(
                service(),
                Company(*members),
                Context(reactor=Clock(), instance=OWN),
                draw=iter(throws).__next__,
            )
            self.assertEqual(self.ask(balancer).location, f"https://{wanted}:443/b")

    def test_never_leaving_or_suspected(self) -> None:
        """Nobody is sent to a member that is leaving or suspected, even if there is no other."""
        company = Company(member(OTHER, "cloud2", leaving=True), member(THIRD, "cloud3", suspect=True))
        self.assertIsInstance(self.ask(self.balancer(company)), Refuse)

    def test_leaving_itself(self) -> None:
        """An instance that is leaving sends clients to the others only."""
        company = Company(member(OTHER, "cloud2", load=100))
        company.publish(OwnState(balances={str(address()): (str(address(host="cloud1")),)}))
        company.leave()
        self.assertEqual(self.ask(self.balancer(company)).location, "https://cloud2:443/b")

    def test_met_comes_last(self) -> None:
        """A dialler that has a tunnel to a member already is sent to another one, if there is one."""
        company = Company(member(OTHER, "cloud2", load=0), member(THIRD, "cloud3", load=50))
        self.assertEqual(self.ask(self.balancer(company), met=OTHER).location, "https://cloud3:443/b")
        both = f"{OTHER}, {THIRD}, rubbish"
        self.assertEqual(self.ask(self.balancer(company), met=both).location, "https://cloud2:443/b")

    def test_each_accept_is_a_balancer(self) -> None:
        """A balancer with several accepts sends each client to those who answer for the one it asked."""
        other = {str(address(path="/c")): ("wss://cloud3:443/c",)}
        company = Company(member(OTHER, "cloud2"), member(THIRD, "cloud3", balances=other))
        balancer = self.balancer(company, address(), address(path="/c"))
        self.assertEqual(self.ask(balancer, path="/c").location, "https://cloud3:443/c")
        self.assertEqual(self.ask(balancer, path="/b").location, "https://cloud2:443/b")
        self.assertEqual(self.ask(balancer, host="elsewhere:443").location, "https://cloud2:443/b")
        self.assertEqual(
            balancer.members(),
            {str(address()): ("https://cloud2:443/b",), str(address(path="/c")): ("https://cloud3:443/c",)},
        )

    def test_bad_word_of_a_member(self) -> None:
        """What a member says that is no address to be sent to is passed over."""
        words = ("wss://a:443/x y", "wss://ä:443/", "ftp://a:21/", "wss:a", "wss://", "ws://a:80/b")
        company = Company(member(OTHER, "cloud2", balances={str(address()): words}))
        self.assertIsInstance(self.ask(self.balancer(company)), Refuse)


class LocationTests(SynchronousTestCase):
    """Where a client is sent for an accept URI."""

    def test_schemes(self) -> None:
        """The scheme ws becomes http, wss https, and a client that came over TLS is never sent to a clear address."""
        self.assertEqual(location_of("ws://h:80/p?q=1", secure=False), "http://h:80/p?q=1")
        self.assertEqual(location_of("wss://[::1]:443/p", secure=False), "https://[::1]:443/p")
        self.assertEqual(location_of("wss://h:443/p", secure=True), "https://h:443/p")
        self.assertIsNone(location_of("ws://h:80/p", secure=True))
