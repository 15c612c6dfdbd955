"""The dialling side: redirects, as a balancer sends them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from kwic.transport.connect_error import Why
from kwic.transport.websocket_server import Redirect, Refuse
from test.transport.dial_case import A, B, C, DialCase, address


class RedirectTests(DialCase):
    """Redirects, as a balancer sends them."""

    def setUp(self) -> None:
        super().setUp()
        self.answers = iter(())
        self.balancer = self.site(A, "balancer.example.com", answer=lambda _: next(self.answers))
        self.network.names.update(
            {"balancer.example.com": (A,), "m1.example.com": (B,), "m2.example.com": (C,)}
        )
        self.target = address("balancer.example.com")

    def redirects_to(self, *hosts: str) -> None:
        """The balancer sends clients to these, one after the other."""
        self.answers = iter([Redirect(location=f"http://{host}.example.com:80/kwic") for host in hosts])

    def test_followed(self) -> None:
        """A redirect is followed to the member, and the transport knows where it leads."""
        member = self.site(B, "m1.example.com")
        self.redirects_to("m1")
        protocol = self.open(self.target)
        self.assertEqual(protocol.transport.uri, "ws://m1.example.com:80/kwic")
        self.assertEqual(member.asked[0].host, "m1.example.com:80")
        protocol.transport.abortConnection()
        self.assert_idle()

    def test_every_status(self) -> None:
        """301, 302, 303, 307 and 308 are redirects; 300 and 304 are not. Location may be relative, in any case."""
        self.site(B, "m1.example.com")
        for status in (301, 302, 303, 307, 308):
            self.says(A, f"HTTP/1.1 {status} x\r\nLOCATION: //m1.example.com/kwic\r\n\r\n".encode())
            self.open(self.target)
        for status in (300, 304):
            self.says(A, f"HTTP/1.1 {status} x\r\nLocation: //m1.example.com/kwic\r\n\r\n".encode())
            self.fails(self.dial(self.target), Why.HTTP)

    def test_a_given_address_is_for_the_origin(self) -> None:
        """The address that was given is the origin's; the member's name is resolved."""
        self.site(B, "m1.example.com")
        self.redirects_to("m1")
        self.network.names["balancer.example.com"] = ()
        self.open(self.target, dial_address=A)
        self.assertEqual(self.network.dialled, [(A, 80), (B, 80)])

    def test_not_wanted(self) -> None:
        """With no redirects allowed, a redirect is an error that says so."""
        self.redirects_to("m1")
        text = self.fails(self.dial(self.target, maximum_redirects=0), Why.HTTP)
        self.assertIn("redirect", text)
        self.assert_idle()

    def test_a_loop(self) -> None:
        """A circle of redirects ends at the limit."""
        self.redirects_to(*["balancer"] * 10)
        self.fails(self.dial(self.target), Why.HTTP)
        self.assertEqual(len(self.balancer.asked), 4)
        self.assert_idle()

    def test_a_dead_member(self) -> None:
        """A member that is down sends us back to the balancer, which knows a better one."""
        self.site(C, "m2.example.com")
        self.redirects_to("m1", "m2")
        opened = self.dial(self.target)
        self.network.pass_time(0.2, 0.1)
        self.assertEqual(self.successResultOf(opened).transport.uri, "ws://m2.example.com:80/kwic")
        self.assertIn("m1.example.com:80", "".join(str(event.get("reason", "")) for event in self.events))

    def test_a_silent_member(self) -> None:
        """A member that does not answer costs its hop's time, and no more."""
        self.site(C, "m2.example.com")
        self.says(B, b"")
        self.redirects_to("m1", "m2")
        opened = self.dial(self.target, timeout_s=2.0)
        self.network.pass_time(2.3)
        self.successResultOf(opened)

    def test_a_member_that_refuses(self) -> None:
        """A member that answers 503, because it is just leaving, is left out too."""
        self.site(B, "m1.example.com", answer=Refuse(status=503, reason="leaving"))
        self.site(C, "m2.example.com")
        self.redirects_to("m1", "m2")
        opened = self.dial(self.target)
        self.network.pass_time(0.2, 0.1)
        self.successResultOf(opened)

    def test_a_balancer_that_insists(self) -> None:
        """A balancer that only knows the dead member is asked again, more and more slowly, until the deadline."""
        self.redirects_to(*["m1"] * 100)
        opened = self.dial(self.target, deadline_s=8.0)
        self.network.pass_time(3)
        self.assertEqual(self.network.dialled.count((B, 80)), 1)
        self.site(C, "m2.example.com")
        self.network.pass_time(6)
        text = self.fails(opened, Why.HTTP)
        self.assertIn("m1.example.com:80", text)
        self.assertIn("in time", text)
        self.assertLess(len(self.balancer.asked), 15)
        self.assert_idle()

    def test_a_balancer_that_learns(self) -> None:
        """As soon as the balancer names another member, that is where we go."""
        self.site(C, "m2.example.com")
        self.redirects_to("m1", "m1", "m1", "m2")
        opened = self.dial(self.target)
        self.network.pass_time(2)
        self.successResultOf(opened)

    def test_cancelling_a_pause(self) -> None:
        """Cancelling between two questions leaves nothing behind."""
        self.redirects_to(*["m1"] * 10)
        opened = self.dial(self.target)
        self.network.pass_time(0.2, 0.1)
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        self.assert_idle()
