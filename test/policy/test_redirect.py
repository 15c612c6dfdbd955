"""Redirects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from kwic.config.address import parse_address
from kwic.policy.redirect import STATUSES, AskAgain, Decision, Follow, Redirection, Refuse

ORIGIN = "wss://balancer.example.com:443/serviceB"


def redirection(origin: str = ORIGIN, hops: int = 3) -> Redirection:
    """One connection attempt."""
    return Redirection(parse_address(origin), maximum_hops=hops)


class AnswerTests(SynchronousTestCase):
    """What becomes of an answer."""

    def assert_follows(self, decision: Decision, target: str) -> None:
        """The decision is to dial this."""
        self.assertEqual(decision, Follow(target=parse_address(target)))

    def assert_refuses(self, decision: Decision, words: str) -> None:
        """The decision is to fail, saying why."""
        self.assertIsInstance(decision, Refuse)
        self.assertIn(words, decision.reason)

    def test_statuses(self) -> None:
        """Five statuses redirect, others do not."""
        self.assertEqual(STATUSES, {301, 302, 303, 307, 308})
        for status in STATUSES:
            self.assert_follows(
                redirection().answer(status, "https://c1:443/serviceB"), "wss://c1:443/serviceB"
            )
        for status in (200, 300, 304, 401, 404, 503):
            self.assert_refuses(redirection().answer(status, "https://c1:443/"), f"answered {status}")

    def test_schemes(self) -> None:
        """The schemes http and https stand for ws and wss; the port may be left out."""
        for location, target in (
            ("https://c1/x", "wss://c1:443/x"),
            ("HTTPS://c1/x", "wss://c1:443/x"),
            ("wss://C1.example.com:9000/x?y=1", "wss://c1.example.com:9000/x?y=1"),
            ("https://[2001:db8::1]:8443/x", "wss://[2001:db8::1]:8443/x"),
        ):
            self.assert_follows(redirection().answer(302, location), target)
        self.assert_follows(redirection("ws://b:80/x").answer(302, "http://c1/x"), "ws://c1:80/x")
        self.assert_follows(redirection("ws://b:80/x").answer(302, "https://c1/x"), "wss://c1:443/x")

    def test_relative(self) -> None:
        """A Location may leave out what stays as it is."""
        self.assert_follows(redirection().answer(302, "/other"), "wss://balancer.example.com:443/other")
        self.assert_follows(
            redirection().answer(302, "other?a=b"), "wss://balancer.example.com:443/other?a=b"
        )
        self.assert_follows(redirection().answer(302, "//c2:444/x"), "wss://c2:444/x")

    def test_no_location(self) -> None:
        """A redirect to nowhere fails."""
        self.assert_refuses(redirection().answer(302, None), "without a Location")
        self.assert_refuses(redirection().answer(302, ""), "without a Location")

    def test_bad_locations(self) -> None:
        """What is no address of a WebSocket is refused, whatever it is."""
        for location in (
            "ftp://c1/x",
            "mailto:somebody",
            "https://",
            "https://user@c1/x",
            "https://c1:0/x",
            "https://c1:99999/x",
            "https://[c1/x",
            "https://c1/x y",
            "https://c1/x#fragment",
            "https://c1/" + "x" * 3000,
            "https://c1\r\nX: y/",
        ):
            self.assert_refuses(redirection().answer(302, location), "redirects to")

    def test_from_tls_to_clear(self) -> None:
        """A redirect out of TLS is refused, on any hop."""
        self.assert_refuses(redirection().answer(302, "http://c1/x"), "from TLS to clear")
        late = redirection("ws://b:80/x")
        late.answer(302, "https://c1/x")
        self.assert_refuses(late.answer(302, "ws://c1/x"), "from TLS to clear")

    def test_hops(self) -> None:
        """Three redirects are followed, a fourth is not; with a limit of 0 none is."""
        attempt = redirection()
        for hop in range(3):
            self.assert_follows(attempt.answer(302, f"https://c{hop}/x"), f"wss://c{hop}:443/x")
        self.assert_refuses(attempt.answer(302, "https://c9/x"), "after 3 redirects")
        self.assert_refuses(redirection(hops=0).answer(302, "https://c1/x"), "the limit")

    def test_loop(self) -> None:
        """A server that redirects to itself is given up."""
        attempt = redirection()
        decisions = [attempt.answer(302, ORIGIN) for _ in range(4)]
        self.assertIsInstance(decisions[-1], Refuse)

    @given(st.sampled_from(sorted(STATUSES)), st.text(max_size=60))
    def test_any_location(self, status: int, location: str) -> None:
        """No Location makes the decision raise, or leave TLS."""
        decision = redirection().answer(status, location)
        if isinstance(decision, Follow):
            self.assertEqual(decision.target.scheme, "wss")

    @given(st.text("/:@[]?#.%a1-\\ ", max_size=30))
    def test_any_authority(self, rest: str) -> None:
        """Nor do odd authorities and paths."""
        decision = redirection().answer(302, "https:" + rest)
        self.assertIsInstance(decision, Follow | Refuse)


class UnreachableTests(SynchronousTestCase):
    """Targets that are down."""

    def test_back_to_the_origin(self) -> None:
        """A target that cannot be reached sends us back to the origin, which may name another one."""
        attempt = redirection()
        attempt.answer(302, "https://c1/x")
        decision = attempt.failed("connection refused")
        self.assertIsInstance(decision, AskAgain)
        self.assertEqual((decision.target, attempt.target), (parse_address(ORIGIN),) * 2)
        self.assertIn("connection refused", decision.reason)
        self.assertEqual(attempt.unreachable, {"c1:443"})
        self.assertEqual(attempt.answer(302, "https://c2/x"), Follow(target=parse_address("wss://c2/x")))
        self.assertEqual(attempt.target, parse_address("wss://c2/x"))

    def test_origin_insists(self) -> None:
        """When the origin names it again, it is asked again."""
        attempt = redirection()
        attempt.answer(302, "https://c1/x")
        attempt.failed("timed out")
        decision = attempt.answer(302, "https://c1/x")
        self.assertIsInstance(decision, AskAgain)
        self.assertIn("not reached before", decision.reason)

    def test_hops_begin_anew(self) -> None:
        """Coming back to the origin does not use hops up."""
        attempt = redirection(hops=1)
        for number in range(5):
            self.assertIsInstance(attempt.answer(302, f"https://c{number}/x"), Follow)
            self.assertIsInstance(attempt.failed("down"), AskAgain)

    def test_origin_is_down(self) -> None:
        """When the origin itself cannot be reached, there is nobody to ask."""
        decision = redirection().failed("connection refused")
        self.assertEqual(
            decision,
            Refuse(reason="wss://balancer.example.com:443/serviceB cannot be reached: connection refused"),
        )
