"""What to do when a WebSocket server answers with a redirect instead of an upgrade.

1. 301, 302, 303, 307 and 308 with a `Location` are redirects; it may be relative, and http and https stand for ws and wss.
2. At most `maximum_hops` are followed in a row.
3. A redirect from TLS to clear is refused: nothing that an operator wrote asked for that.
4. A target that cannot be reached is left out from then on, and the origin is asked again: it may know a better one by now.
5. When the origin insists on a target that is left out, it is asked again, after a pause that the caller chooses, until the
   caller's deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from kwic.config.address import parse_address
from kwic.config.model import Address
from kwic.config.problem import BadValueError

STATUSES = frozenset({301, 302, 303, 307, 308})
"""Moved Permanently, Found, See Other, Temporary Redirect, Permanent Redirect (RFC 9110, section 15.4)."""

_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, kw_only=True)
class Follow:
    """Dial this next, with the TLS options and certificate checks of the origin."""

    target: Address
    """ws or wss."""


@dataclass(frozen=True, kw_only=True)
class AskAgain:
    """Dial the origin again, after a pause."""

    target: Address
    """The origin."""

    reason: str
    """Why, for the log."""


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Fail."""

    reason: str
    """One line for the operator."""


Decision = Follow | AskAgain | Refuse


class Redirection:
    """The redirects of one connection attempt, from its origin on.

    :param origin: what was configured: ws or wss.
    :param maximum_hops: redirects followed in a row; 0 = none.
    """

    def __init__(self, origin: Address, *, maximum_hops: int) -> None:
        self._origin = origin
        self._maximum_hops = maximum_hops
        self._target = origin
        self._hops = 0
        self._unreachable: set[str] = set()

    @property
    def target(self) -> Address:
        """What is to be dialled now."""
        return self._target

    @property
    def unreachable(self) -> frozenset[str]:
        """Targets that are left out, as host:port."""
        return frozenset(self._unreachable)

    def answer(self, status: int, location: str | None) -> Decision:
        """The target answered the upgrade with something else than 101.

        :param status: the HTTP status.
        :param location: the `Location` header, None when there was none.
        :returns: what to do.
        """
        if status not in STATUSES:
            return Refuse(reason=f"{self._target} answered {status}")
        if not location:
            return Refuse(reason=f"{self._target} answered {status} without a Location")
        if self._hops >= self._maximum_hops:
            return Refuse(
                reason=f"{self._target} redirects once more after {self._hops} redirects: the limit"
            )
        try:
            following = self._resolve(location)
        except (BadValueError, ValueError) as error:
            return Refuse(reason=f"{self._target} redirects to {location[:100]!r}: {error}")
        if self._target.secure and not following.secure:
            return Refuse(reason=f"{self._target} redirects to {following}: from TLS to clear is refused")
        if following.authority in self._unreachable:
            return self._return(f"{self._target} redirects to {following}, which was not reached before")
        self._hops += 1
        self._target = following
        return Follow(target=following)

    def failed(self, reason: str) -> Decision:
        """The target could not be reached.

        :param reason: why, for the log.
        :returns: back to the origin, or failure when it was the origin itself.
        """
        if self._hops == 0:
            return Refuse(reason=f"{self._target} cannot be reached: {reason}")
        self._unreachable.add(self._target.authority)
        return self._return(f"{self._target} cannot be reached: {reason}")

    def _return(self, reason: str) -> AskAgain:
        """Go back to the origin."""
        self._target = self._origin
        self._hops = 0
        return AskAgain(target=self._origin, reason=reason)

    def _resolve(self, location: str) -> Address:
        """A Location as an address, in the light of where it was said.

        :raises BadValueError: it is no address.
        :raises ValueError: it is not even a URI, or not for a WebSocket.
        """
        absolute = location
        if not urlsplit(location).scheme:
            here = replace(self._target, scheme=_HTTP_SCHEMES[self._target.scheme])
            absolute = urljoin(str(here), location)
        scheme, separator, rest = absolute.partition("://")
        canonical = _WEBSOCKET_SCHEMES.get(scheme.lower())
        if canonical is None:
            raise ValueError(f"{scheme}{separator} is neither http nor WebSocket")
        return parse_address(f"{canonical}://{rest}")
