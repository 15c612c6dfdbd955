"""Which web pages may open a WebSocket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from kwic.config.model import CrossSite
from kwic.policy.origin import canonical_origin, origin_allowed

OURS = {"cloud1.example.com:443", "example.com:443"}


class OriginTests(SynchronousTestCase):
    """Origin against what is served and what is allowed."""

    def test_no_origin(self) -> None:
        """A program that is no browser sends none and may come."""
        self.assertTrue(origin_allowed(None, OURS))

    def test_same_authority(self) -> None:
        """Pages of the service's own authority, or of its balancer's, may come, whatever the spelling."""
        for origin in ("https://cloud1.example.com", "HTTPS://Example.com:443", " https://example.com "):
            self.assertTrue(origin_allowed(origin, OURS), origin)

    def test_foreign_pages(self) -> None:
        """Other hosts, other ports, null and nonsense are refused."""
        for origin in (
            "https://evil.example.org",
            "http://example.com",
            "https://example.com:8443",
            "https://example.com.evil.org",
            "https://example.com:443@evil.org",
            "null",
            "",
            "file://",
        ):
            self.assertFalse(origin_allowed(origin, OURS), origin)

    def test_allowed_pages(self) -> None:
        """A cross-site constraint lets in exactly its origin."""
        sites = (CrossSite(allow_origin="http://www.example.org:80"),)
        self.assertTrue(origin_allowed("http://www.example.org", OURS, sites))
        self.assertFalse(origin_allowed("https://www.example.org:80", OURS, sites))
        self.assertFalse(origin_allowed("null", OURS, sites))

    def test_any_page(self) -> None:
        """A star lets in everybody, null too."""
        for origin in ("http://x", "null"):
            self.assertTrue(origin_allowed(origin, OURS, (CrossSite(allow_origin="*"),)))

    def test_methods(self) -> None:
        """A constraint without GET lets nobody in: a WebSocket begins with one."""
        site = CrossSite(allow_origin="*", allow_methods=("POST",))
        self.assertFalse(origin_allowed("http://x", OURS, (site,)))

    def test_canonical(self) -> None:
        """Default ports become explicit."""
        self.assertEqual(canonical_origin("http://[::1]"), ("http", "[::1]:80"))
        self.assertEqual(canonical_origin("https://a"), ("https", "a:443"))
